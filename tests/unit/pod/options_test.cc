#include "pod/steps/options.h"

#include <gmock/gmock.h>

#include <fstream>
#include <sstream>

#include "pod/steps/option_table.h"
#include "pod/steps/resolve.h"

namespace holdfast::pod {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const std::vector<std::string> kJob{"SLURM_NTASKS=4", "SLURM_NPROCS=4", "SLURM_JOB_NUM_NODES=2",
                                    "SLURM_NTASKS_PER_NODE=2", "SLURM_MEM_PER_CPU=256"};

// The request, or the complaint's first line as its name.
StepRequest Asked(std::vector<std::string> arguments, std::vector<std::string> more = {}) {
  std::vector<std::string> remarks, environment = kJob;
  environment.insert(environment.end(), more.begin(), more.end());
  arguments.emplace_back("true");
  const auto options = ParseOptions(arguments, environment, remarks);
  if (!options) return {.tasks = 0, .name = options.error().lines.at(0)};
  const auto request = Resolve(*options, {.job = 1, .nodes = 2}, remarks);
  if (!request) return {.tasks = 0, .name = request.error().lines.at(0)};
  return *request;
}

TEST(Options, TakesTheJobsNumbersFromVariables) {
  const StepRequest request = Asked({});
  EXPECT_EQ(request.tasks, 4U);
  EXPECT_EQ(request.min_nodes, 2U);
  EXPECT_EQ(request.cpu_memory_mb, 256U);
  EXPECT_FALSE(request.exact);
}

TEST(Options, KnowsEverySpelling) {
  for (const std::vector<std::string>& way : std::vector<std::vector<std::string>>{
           {"-n3"}, {"-n", "3"}, {"--ntasks=3"}, {"--ntasks", "3"}, {"-lN2", "-n3"}})
    EXPECT_EQ(Asked(way).tasks, 3U) << way[0];
  EXPECT_EQ(Asked({"-N2", "-n2", "--tasks=1"}).tasks_per_node, 1U);
}

TEST(Options, DoesSlurmsArithmetic) {
  EXPECT_EQ(Asked({"-n1"}).min_nodes, 1U);
  EXPECT_EQ(Asked({"-N1"}).tasks, 2U);
  EXPECT_EQ(Asked({"-N1", "-n4"}).tasks_per_node, 0U);
  EXPECT_EQ(Asked({"--nodes=2", "--ntasks-per-node=1"}).tasks, 2U);
  EXPECT_TRUE(Asked({"-c1"}).exact);
  EXPECT_TRUE(Asked({"--exclusive"}).exact);
  EXPECT_EQ(Asked({}, {"SLURM_TRES_PER_TASK=cpu=2"}).cpus_per_task, 2U);
}

TEST(Options, ComplainsAsSlurmDoes) {
  EXPECT_EQ(Asked({"-n", "x"}).name, "error: Invalid numeric value \"x\" for --ntasks.");
  EXPECT_EQ(Asked({"-N", "x"}).name, "error: \"x\" is not a valid node count");
  EXPECT_EQ(Asked({"--mem=x"}).name, "error: Invalid --mem specification");
  EXPECT_EQ(Asked({"-N3"}).name, "error: Only allocated 2 nodes asked for 3");
  EXPECT_THAT(Asked({"-r5", "-n1"}).name, HasSubstr("(5+1>2)"));
}

TEST(Options, NamesWhatItRefuses) {
  for (const Option& option : OptionTable()) {
    if (!IsRefused(option)) continue;
    const std::string name = "--" + std::string(option.name);
    const bool wants_value = option.argument == Argument::kRequired;
    EXPECT_THAT(Asked({wants_value ? name + "=1" : name}).name, HasSubstr(name));
  }
}

TEST(Bind, DividesTheCpusIfTheyAreAsMany) {
  const NodeShare two{.tasks = {0, 1}, .cpus = {0, 1}}, one{.tasks = {0}, .cpus = {0, 1}};
  EXPECT_THAT(Bind({}, two).cpus, ElementsAre(ElementsAre(0), ElementsAre(1)));
  EXPECT_THAT(Bind({}, one).cpus, ElementsAre(ElementsAre(0, 1)));
  Options cores;
  cores.bind = BindUnit::kCores;
  EXPECT_THAT(Bind(cores, one).cpus, ElementsAre(ElementsAre(0)));
}

// docs/srun.md has every option of the table, and says what becomes of it.
TEST(OptionTable, IsInTheDocumentation) {
  std::ifstream file(HOLDFAST_SOURCE "/docs/srun.md");
  std::stringstream text;
  text << file.rdbuf();
  for (const Option& option : OptionTable()) {
    if (option.variables && std::string_view(option.variables) == "SLURM_HOSTFILE") continue;
    EXPECT_THAT(text.str(), HasSubstr("--" + std::string(option.name) + "`")) << option.name;
  }
}

}  // namespace
}  // namespace holdfast::pod
