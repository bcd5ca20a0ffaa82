#include "cli/arguments.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <CLI/CLI.hpp>

#include "base/files.h"

namespace holdfast::cli {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

std::string Source(const std::string& path) {
  const auto text = ReadFile(std::string(HOLDFAST_SOURCE_DIR) + "/" + path);
  EXPECT_TRUE(text) << path;
  return text.value_or("");
}

class ArgumentsTest : public testing::Test {
 protected:
  void SetUp() override { Declare(app_, options_); }
  std::string Hint(const std::vector<std::string>& arguments) {
    return DidYouMean(app_, arguments);
  }
  Options options_;
  CLI::App app_;
};

TEST_F(ArgumentsTest, ASlipIsRecognized) {
  EXPECT_EQ(Hint({"shwo", "7"}), "did you mean 'show'?");
  EXPECT_EQ(Hint({"migrate", "7", "--exlude", "n1"}), "did you mean '--exclude'?");
  EXPECT_EQ(Hint({"prune", "7", "--kepe=2"}), "did you mean '--keep'?");
  EXPECT_EQ(Hint({"--jsno", "list"}), "did you mean '--json'?");
  EXPECT_EQ(Hint({"config", "chekc"}), "did you mean 'check'?");
  // An option of another command is none of this one.
  EXPECT_THAT(Hint({"save", "7", "--expired"}), IsEmpty());
  EXPECT_THAT(Hint({"show", "7"}), IsEmpty());
  EXPECT_THAT(Hint({"frobnicate"}), IsEmpty());
}

TEST_F(ArgumentsTest, TheCompletionIsAsItIsWritten) {
  EXPECT_EQ(Source("cli/completion.bash"), BashCompletion())
      << "cmake --build ... --target cli_reference";
}

TEST_F(ArgumentsTest, TheManualPageHasTheSynopsisAndAWordOnEverything) {
  const std::string page = Source("docs/man/holdfast.1");
  EXPECT_THAT(page, HasSubstr(".Sh SYNOPSIS\n" + ManSynopsis() + ".Sh DESCRIPTION\n"))
      << "holdfast-cli-reference man prints it";
  const std::string description = page.substr(page.find(".Sh DESCRIPTION"));
  for (const CLI::App* command : app_.get_subcommands([](const CLI::App*) { return true; })) {
    EXPECT_THAT(description, HasSubstr("\n.It Cm " + command->get_name()));
    for (const CLI::Option* option : command->get_options())
      for (const std::string& name : option->get_lnames())
        EXPECT_THAT(description, HasSubstr("Fl -" + name)) << command->get_name();
  }
}

}  // namespace
}  // namespace holdfast::cli
