#include "pod/steps/programs.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>

#include "base/files.h"
#include "base/numbers.h"
#include "pod/steps/values.h"

namespace holdfast::pod {
namespace {

bool IsProgram(const std::string& path) {
  struct stat found = {};
  return ::stat(path.c_str(), &found) == 0 && S_ISREG(found.st_mode) &&
         ::access(path.c_str(), X_OK) == 0;
}

// Words, between blanks; single quotes and backslashes are all that Slurm knows there.
std::vector<std::string> Words(std::string_view line) {
  std::vector<std::string> words;
  std::string word;
  bool inside = false;
  bool quoted = false;
  for (size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (!quoted && std::isspace(static_cast<unsigned char>(c))) {
      if (inside) words.push_back(std::exchange(word, {}));
      inside = false;
      continue;
    }
    inside = true;
    if (c == '\'')
      quoted = !quoted;
    else if (c == '\\' && i + 1 < line.size() && !quoted)
      word += line[++i];
    else
      word += c;
  }
  if (inside) words.push_back(std::move(word));
  return words;
}

std::optional<std::vector<uint32_t>> Ranks(const std::string& text, uint32_t tasks) {
  std::vector<uint32_t> ranks;
  if (text == "*") {
    for (uint32_t task = 0; task < tasks; ++task) ranks.push_back(task);
    return ranks;
  }
  for (const std::string& item : SplitAt(text, ',')) {
    const size_t dash = item.find('-');
    const auto low = ParseNumber<uint32_t>(item.substr(0, dash));
    const auto high =
        dash == std::string::npos ? low : ParseNumber<uint32_t>(item.substr(dash + 1));
    if (!low || !high || *high < *low || *high > kMaxTasks) return std::nullopt;
    for (uint32_t rank = *low; rank <= *high; ++rank) ranks.push_back(rank);
  }
  return ranks;
}

std::string Replace(std::string text, uint32_t task, size_t offset) {
  for (size_t at = 0; (at = text.find('%', at)) != std::string::npos && at + 1 < text.size();) {
    const char letter = text[at + 1];
    const std::string value = letter == 't'   ? std::to_string(task)
                              : letter == 'o' ? std::to_string(offset)
                                              : text.substr(at, 2);
    text.replace(at, 2, value);
    at += value.size();
  }
  return text;
}

}  // namespace

std::string FindProgram(const std::string& word, const std::string& directory,
                        std::string_view path) {
  if (word.starts_with('/')) return word;
  if (word.find('/') != std::string::npos) return directory + "/" + word;
  for (const std::string& place : SplitAt(path, ':')) {
    const std::string candidate = (place.empty() ? directory : place) + "/" + word;
    if (IsProgram(candidate)) return candidate;
  }
  return word;
}

Programs OneProgram(std::vector<std::string> argv, uint32_t tasks) {
  return {.argv = {std::move(argv)}, .of_task = std::vector<uint32_t>(tasks, 0)};
}

std::expected<Programs, Complaint> ManyPrograms(const std::string& configuration, uint32_t tasks,
                                                const std::string& directory,
                                                std::string_view path) {
  auto contents = ReadFile(configuration);
  if (!contents) return Complain("error: Could not open multi_prog config file " + configuration);
  for (size_t at; (at = contents->find("\\\n")) != std::string::npos;)
    contents->replace(at, 2, " ");
  Programs programs{.argv = std::vector<std::vector<std::string>>(tasks), .of_task = {}};
  for (const std::string& line : SplitAt(*contents, '\n')) {
    std::vector<std::string> words = Words(line);
    if (words.empty() || words[0].starts_with('#')) continue;
    const auto ranks = Ranks(words[0], tasks);
    if (!ranks || words.size() < 2)
      return Complain("error: Line in " + configuration + " is invalid: " + line);
    words.erase(words.begin());
    words[0] = FindProgram(words[0], directory, path);
    for (size_t offset = 0; offset < ranks->size(); ++offset) {
      const uint32_t task = (*ranks)[offset];
      if (task >= tasks || !programs.argv[task].empty()) continue;
      for (const std::string& word : words)
        programs.argv[task].push_back(Replace(word, task, offset));
    }
  }
  for (uint32_t task = 0; task < tasks; ++task) {
    if (programs.argv[task].empty())
      return Complain("error: Configuration file " + configuration +
                      " invalid, no program for task " + std::to_string(task));
    programs.of_task.push_back(task);
  }
  return programs;
}

}  // namespace holdfast::pod
