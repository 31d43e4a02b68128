// Messages from parts. Debian's abseil has a string_view
// of its own, to which std::string_view does not convert.
#pragma once

#include <charconv>
#include <string>
#include <string_view>
#include <type_traits>

namespace guildhall {

// Appends text, an integer (decimal), a floating-point number (shortest form that reads back) or a bool.
template <typename T>
void AppendPart(std::string& text, const T& part) {
  if constexpr (std::is_same_v<T, bool>) {
    text += part ? "true" : "false";
  } else if constexpr (std::is_same_v<T, char>) {
    text += part;
  } else if constexpr (std::is_arithmetic_v<T>) {
    char digits[64];
    text.append(digits, std::to_chars(digits, digits + sizeof(digits), part).ptr);
  } else if constexpr (requires { part.data() + part.size(); }) {
    text.append(part.data(), part.size());  // std::string, either string_view
  } else {
    text += std::string_view(part);
  }
}

// StrCat("expected ", 3, ", found ", name)
template <typename... Parts>
std::string StrCat(const Parts&... parts) {
  std::string text;
  (AppendPart(text, parts), ...);
  return text;
}

template <typename... Parts>
void StrAppend(std::string* text, const Parts&... parts) {
  (AppendPart(*text, parts), ...);
}

}  // namespace guildhall
