#include "config/names.h"

#include <algorithm>

namespace guildhall {
namespace {

bool LetterOrDigit(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

// At most 128 letters, digits and `marks`.
bool MadeOf(std::string_view name, std::string_view marks) {
  return name.size() <= 128 && std::all_of(name.begin(), name.end(), [&](char c) {
           return LetterOrDigit(c) || marks.find(c) != std::string_view::npos;
         });
}

}  // namespace

bool ValidTaskId(std::string_view id) {
  return MadeOf(id, "._:/-") && (id.empty() || LetterOrDigit(id.front()));
}

bool ValidAdapterName(std::string_view name) {
  return MadeOf(name, "._-") && !name.empty() && name != "." && name != "..";
}

}  // namespace guildhall
