// What people read: tables, sizes, times.
#pragma once

#include <google/protobuf/message.h>
#include <google/protobuf/timestamp.pb.h>

#include <cstdint>
#include <string>
#include <vector>

namespace guildhall {

// Columns as wide as their widest entry, two spaces between them; numbers to the right.
class Table {
 public:
  struct Column {
    std::string title;
    bool right = false;
  };
  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}

  // One text per column; an empty one is shown as "-".
  void Add(std::vector<std::string> row);
  std::string Text() const;

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

// "3 s", "2 min", "5 h", "3 d".
std::string AgeText(double seconds);
// "2 min ago"; "" for a time that is not set. `now` in seconds of Unix time.
std::string AgoText(const google::protobuf::Timestamp& time, double now);
double UnixNow();

// For programs: all fields, names as in the .proto files. To standard output; false: it cannot be written.
bool PrintJson(const google::protobuf::Message& message);

}  // namespace guildhall
