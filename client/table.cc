#include "client/table.h"

#include <google/protobuf/util/json_util.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <utility>

namespace guildhall {
namespace {

std::string Formatted(const char* format, double value) {
  char text[64];
  std::snprintf(text, sizeof(text), format, value);
  return text;
}

// Characters, not bytes: what the terminal's columns are filled with, near enough.
size_t Width(const std::string& text) {
  return static_cast<size_t>(std::count_if(
      text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0u) != 0x80u; }));
}

}  // namespace

void Table::Add(std::vector<std::string> row) {
  for (std::string& text : row) {
    if (text.empty()) text = "-";
    // A description may hold anything: one line stays one line.
    for (char& c : text) c = static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? ' ' : c;
  }
  rows_.push_back(std::move(row));
}

std::string Table::Text() const {
  std::vector<size_t> widths;
  for (size_t i = 0; i < columns_.size(); ++i) {
    size_t width = Width(columns_[i].title);
    for (const auto& row : rows_) width = std::max(width, Width(row[i]));
    widths.push_back(width);
  }
  std::string text;
  const auto line = [&](const auto& entry) {
    std::string out;
    for (size_t i = 0; i < columns_.size(); ++i) {
      const std::string cell = entry(i);
      const std::string pad(widths[i] - Width(cell), ' ');
      out += (i == 0 ? "" : "  ") + (columns_[i].right ? pad + cell : cell + pad);
    }
    text += out.substr(0, out.find_last_not_of(' ') + 1) + "\n";
  };
  line([&](size_t i) { return columns_[i].title; });
  for (const auto& row : rows_) line([&](size_t i) { return row[i]; });
  return text;
}

std::string AgeText(double seconds) {
  seconds = std::max(seconds, 0.0);
  if (seconds < 60.0) return Formatted("%.0f s", seconds);
  if (seconds < 3600.0) return Formatted("%.0f min", seconds / 60.0);
  if (seconds < 86400.0) return Formatted("%.0f h", seconds / 3600.0);
  return Formatted("%.0f d", seconds / 86400.0);
}

std::string AgoText(const google::protobuf::Timestamp& time, double now) {
  if (time.seconds() == 0) return "";
  return AgeText(now - static_cast<double>(time.seconds()) - time.nanos() * 1e-9) + " ago";
}

double UnixNow() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

bool PrintJson(const google::protobuf::Message& message) {
  std::string text;
  google::protobuf::util::JsonPrintOptions options;
  options.add_whitespace = true;
  options.always_print_primitive_fields = true;
  options.preserve_proto_field_names = true;
  if (!google::protobuf::util::MessageToJsonString(message, &text, options).ok()) return false;
  return std::fwrite(text.data(), 1, text.size(), stdout) == text.size();
}

}  // namespace guildhall
