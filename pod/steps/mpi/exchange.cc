#include "pod/steps/mpi/exchange.h"

#include <algorithm>
#include <charconv>

#include "pod/steps/messages.h"

namespace holdfast::pod {
namespace {

std::unexpected<Error> Unreadable(const char* what) {
  return Fail(Code::kCorrupt, std::string(what) + " between step daemons is malformed");
}

// A run of nodes with the same number of consecutive tasks on each.
struct Block {
  uint32_t first = 0, nodes = 0, tasks = 0;
};

std::optional<Block> TakeBlock(std::string_view& text) {
  Block block;
  const auto take = [&](char before, uint32_t& number) {
    if (!text.starts_with(before)) return false;
    const auto [end, error] = std::from_chars(text.data() + 1, text.data() + text.size(), number);
    if (error != std::errc()) return false;
    text.remove_prefix(static_cast<size_t>(end - text.data()));
    return true;
  };
  if (!take('(', block.first) || !take(',', block.nodes) || !take(',', block.tasks) ||
      !text.starts_with(')'))
    return std::nullopt;
  text.remove_prefix(1);
  return block;
}

}  // namespace

void Add(FieldWriter& writer, const MpiOrder& order) {
  for (const bool flag : {order.pmi, order.pmix, order.pmix_needed}) writer.Add(uint64_t{flag});
  writer.Add(uint64_t{order.tasks});
  writer.Add(std::string_view(order.hosts));
  writer.Add(std::string_view(order.mapping));
}

MpiOrder ReadMpiOrder(FieldReader& reader) {
  MpiOrder order;
  order.pmi = reader.Flag();
  order.pmix = reader.Flag();
  order.pmix_needed = reader.Flag();
  order.tasks = static_cast<uint32_t>(reader.Number(kMaxTasks));
  order.hosts = reader.Text();
  order.mapping = reader.Text();
  return order;
}

std::string MapTasks(const std::vector<std::vector<uint32_t>>& tasks_of_nodes) {
  size_t tasks = 0;
  for (const auto& of_node : tasks_of_nodes) tasks += of_node.size();
  std::vector<uint32_t> node_of(tasks);
  for (size_t node = 0; node < tasks_of_nodes.size(); ++node)
    for (const uint32_t task : tasks_of_nodes[node])
      if (task < tasks) node_of[task] = static_cast<uint32_t>(node);
  std::vector<Block> blocks;
  for (size_t i = 0, run = 0; i < tasks; i += run) {
    for (run = 1; i + run < tasks && node_of[i + run] == node_of[i];) ++run;
    if (!blocks.empty() && blocks.back().tasks == run &&
        blocks.back().first + blocks.back().nodes == node_of[i])
      ++blocks.back().nodes;
    else
      blocks.push_back({.first = node_of[i], .nodes = 1, .tasks = static_cast<uint32_t>(run)});
  }
  std::string text = "(vector";
  for (const Block& block : blocks)
    text += ",(" + std::to_string(block.first) + "," + std::to_string(block.nodes) + "," +
            std::to_string(block.tasks) + ")";
  return text + ")";
}

Result<std::vector<std::vector<uint32_t>>> TasksOfNodes(std::string_view mapping, size_t nodes,
                                                        uint32_t tasks) {
  std::vector<std::vector<uint32_t>> tasks_of_nodes(nodes);
  constexpr std::string_view kBegin = "(vector";
  if (!mapping.starts_with(kBegin)) return Unreadable("the mapping");
  mapping.remove_prefix(kBegin.size());
  uint32_t next = 0;
  while (mapping.starts_with(',')) {
    mapping.remove_prefix(1);
    const auto block = TakeBlock(mapping);
    if (!block || block->first > nodes || block->nodes > nodes - block->first ||
        block->nodes * uint64_t{block->tasks} > tasks - next)
      return Unreadable("the mapping");
    for (uint32_t node = block->first; node < block->first + block->nodes; ++node)
      for (uint32_t i = 0; i < block->tasks; ++i) tasks_of_nodes[node].push_back(next++);
  }
  if (mapping != ")" || next != tasks) return Unreadable("the mapping");
  return tasks_of_nodes;
}

std::string Serialize(const Contribution& contribution) {
  FieldWriter writer;
  writer.Add(std::string_view(contribution.name));
  writer.Add(contribution.nodes);
  writer.Add(std::string_view(contribution.data));
  return writer.Take();
}

Result<Contribution> ParseContribution(std::string_view bytes) {
  FieldReader reader(bytes);
  Contribution contribution;
  contribution.name = reader.Text();
  contribution.nodes = reader.Numbers(kMaxTasks);
  contribution.data = reader.Text();
  if (!reader.complete() || !std::ranges::is_sorted(contribution.nodes))
    return Unreadable("a contribution");
  return contribution;
}

std::string Serialize(const Gathered& gathered) {
  FieldWriter writer;
  writer.Add(std::string_view(gathered.name));
  writer.Add(std::string_view(gathered.data));
  return writer.Take();
}

Result<Gathered> ParseGathered(std::string_view bytes) {
  FieldReader reader(bytes);
  Gathered gathered;
  gathered.name = reader.Text();
  gathered.data = reader.Text();
  if (!reader.complete()) return Unreadable("what was gathered");
  return gathered;
}

std::string Serialize(const Letter& letter) {
  FieldWriter writer;
  writer.Add(uint64_t{letter.node});
  writer.Add(std::string_view(letter.data));
  return writer.Take();
}

Result<Letter> ParseLetter(std::string_view bytes) {
  FieldReader reader(bytes);
  Letter letter;
  letter.node = static_cast<uint32_t>(reader.Number(kMaxTasks));
  letter.data = reader.Text();
  if (!reader.complete()) return Unreadable("a letter");
  return letter;
}

std::string Serialize(const AbortWish& wish) {
  FieldWriter writer;
  writer.Add(uint64_t{wish.code});
  writer.Add(uint64_t{wish.ending_task ? 1 + uint64_t{*wish.ending_task} : 0});
  return writer.Take();
}

Result<AbortWish> ParseAbortWish(std::string_view bytes) {
  FieldReader reader(bytes);
  AbortWish wish{.code = static_cast<uint32_t>(reader.Number(255)), .ending_task = {}};
  const auto task = static_cast<uint32_t>(reader.Number(kMaxTasks));
  if (task > 0) wish.ending_task = task - 1;
  if (!reader.complete()) return Unreadable("a wish to abort");
  return wish;
}

}  // namespace holdfast::pod
