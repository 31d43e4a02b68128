#include "tests/support/markdown_table.h"

#include <fstream>

#include "base/check.h"

namespace guildhall {
namespace {

// "| a | b |" -> "a"; empty for other lines.
std::string FirstCell(const std::string& line) {
  if (!line.starts_with("| ")) return "";
  const size_t end = line.find(" |", 2);
  return end == std::string::npos ? "" : line.substr(2, end - 2);
}

}  // namespace

std::vector<std::string> FirstCells(const std::string& path, const std::string& heading) {
  std::ifstream file(path);
  std::string line;
  while (std::getline(file, line) && FirstCell(line) != heading) {
  }
  GH_CHECK(file.good());
  std::getline(file, line);  // |---|---|
  std::vector<std::string> cells;
  while (std::getline(file, line) && line.starts_with("| ")) cells.push_back(FirstCell(line));
  GH_CHECK(!cells.empty());
  return cells;
}

}  // namespace guildhall
