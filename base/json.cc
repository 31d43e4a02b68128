#include "base/json.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>
#include <unordered_set>
#include <utility>

#include "base/stand_in.h"
#include "base/status.h"
#include "base/str_cat.h"

namespace guildhall {
namespace {

// Reads the text and remembers how far the parser has
// come, so that our own refusals can name line and column.
class TrackedIterator {
 public:
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  TrackedIterator(const char* at, const char** furthest) : at_(at), furthest_(furthest) {}
  const char& operator*() const { return *at_; }
  TrackedIterator& operator++() {
    *furthest_ = ++at_;
    return *this;
  }
  TrackedIterator operator++(int) {
    TrackedIterator before = *this;
    ++*this;
    return before;
  }
  bool operator==(const TrackedIterator& other) const { return at_ == other.at_; }
  bool operator!=(const TrackedIterator& other) const { return at_ != other.at_; }

 private:
  const char* at_;
  const char** furthest_;
};

// The parser quotes the input in its messages, whatever bytes it holds.
std::string Printable(std::string_view text) {
  std::string printable(text);
  for (char& c : printable) {
    if (c < ' ' || c > '~') c = '?';
  }
  return printable;
}

// Builds the tree from the parser's events: the parser keeps its own stack, so that depth costs no call
// stack, and the caps and duplicate keys are refused where they occur.
class TreeBuilder : public nlohmann::json_sax<Json> {
 public:
  explicit TreeBuilder(const JsonLimits& limits) : limits_(limits) {}

  bool null() override { return Put(nullptr); }
  bool boolean(bool value) override { return Put(value); }
  bool number_integer(number_integer_t value) override { return Put(value); }
  bool number_unsigned(number_unsigned_t value) override { return Put(value); }
  bool number_float(number_float_t value, const string_t& text) override {
    // The lexer turns an integer that fits no 64 bits into a float: that would lose digits silently.
    if (text.find_first_of(".eE") == std::string::npos) {
      return Refuse(StrCat("the integer ", Excerpt(text), " fits neither int64 nor uint64"));
    }
    return Put(value);
  }
  bool string(string_t& value) override { return Put(std::move(value)); }
  bool binary(binary_t&) override { return Refuse("binary value"); }
  bool start_object(size_t) override { return Open(Json::object()); }
  bool end_object() override { return Close(); }
  bool start_array(size_t) override { return Open(Json::array()); }
  bool end_array() override { return Close(); }
  bool key(string_t& value) override {
    if (!open_.back().keys.insert(value).second) return Refuse(StrCat("duplicate key ", Quote(value)));
    open_.back().key = std::move(value);
    return true;
  }
  bool parse_error(size_t, const std::string&, const nlohmann::detail::exception& error) override {
    // "[json.exception.parse_error.101] parse error at line 1, column 2: WHAT". Only WHAT is kept: Refuse()
    // adds the place.
    std::string_view text = error.what();
    if (const size_t colon = text.find(": "); colon != std::string_view::npos)
      text.remove_prefix(colon + 2);
    else if (const size_t end = text.find("] "); end != std::string_view::npos)
      text.remove_prefix(end + 2);
    return Refuse(Excerpt(Printable(text), 160));
  }

  Json TakeRoot() { return std::move(root_); }
  const std::string& refusal() const { return refusal_; }

 private:
  struct Container {
    Json* json;
    std::string key;  // the one whose value comes next
    std::unordered_set<std::string> keys;
  };

  bool Refuse(std::string why) {
    refusal_ = std::move(why);
    return false;
  }
  Json* Place(Json value) {
    if (open_.empty()) {
      root_ = std::move(value);
      return &root_;
    }
    Json& parent = *open_.back().json;
    if (parent.is_array()) {
      auto& items = parent.get_ref<Json::array_t&>();
      items.push_back(std::move(value));
      return &items.back();
    }
    // Straight to the back: the key is known to be new, and a search would make long objects quadratic.
    auto& members = parent.get_ref<Json::object_t&>();
    members.emplace_back(std::move(open_.back().key), std::move(value));
    return &members.back().second;
  }
  bool Put(Json value) {
    Place(std::move(value));
    return true;
  }
  bool Open(Json value) {
    if (static_cast<int>(open_.size()) >= limits_.max_depth) {
      return Refuse(StrCat("nested deeper than ", limits_.max_depth, " levels"));
    }
    // The pointer stays valid: a parent does not grow while its child is open.
    open_.push_back({Place(std::move(value)), {}, {}});
    return true;
  }
  bool Close() {
    open_.pop_back();
    return true;
  }

  const JsonLimits& limits_;
  Json root_;
  std::vector<Container> open_;
  std::string refusal_;
};

std::string LineAndColumn(std::string_view text, size_t offset) {
  size_t line = 1, begin = 0;
  for (size_t i = 0; i < offset && i < text.size(); ++i) {
    if (text[i] == '\n') {
      ++line;
      begin = i + 1;
    }
  }
  return StrCat("line ", line, ", column ", offset < begin ? 1 : offset - begin + 1);
}

}  // namespace

absl::StatusOr<Json> ParseJson(std::string_view text, std::string_view what, const JsonLimits& limits) {
  if (text.size() > limits.max_bytes) {
    return absl::InvalidArgumentError(
        StrCat(what, ": ", text.size(), " bytes of JSON, at most ", limits.max_bytes, " are read"));
  }
  if (text.find_first_not_of(" \t\r\n") == std::string_view::npos) {
    return absl::InvalidArgumentError(
        StrCat(what, ": ", LineAndColumn(text, 0),
               ": expected JSON, found nothing: it is empty, as a download that has failed leaves a file"));
  }
  // The lexer takes a NUL for the end of the text and would ignore the rest.
  if (const size_t nul = text.find('\0'); nul != std::string_view::npos) {
    if (const std::string instead = StandInText(text); !instead.empty()) {
      return absl::InvalidArgumentError(StrCat(what, ": ", instead));
    }
    return absl::InvalidArgumentError(StrCat(what, ": ", LineAndColumn(text, nul), ": NUL character"));
  }
  TreeBuilder builder(limits);
  const char* furthest = text.data();
  const bool parsed = Json::sax_parse(
      TrackedIterator(text.data(), &furthest), TrackedIterator(text.data() + text.size(), &furthest),
      &builder, Json::input_format_t::json, /*strict=*/true, /*ignore_comments=*/limits.comments);
  if (!parsed) {
    if (const std::string instead = StandInText(text); !instead.empty()) {
      return absl::InvalidArgumentError(StrCat(what, ": ", instead));
    }
    const size_t read = static_cast<size_t>(furthest - text.data());
    return absl::InvalidArgumentError(
        StrCat(what, ": ", LineAndColumn(text, read == 0 ? 0 : read - 1), ": ", builder.refusal()));
  }
  return builder.TakeRoot();
}

std::string DumpJson(const Json& json, int indent) {
  return json.dump(indent, ' ', false, Json::error_handler_t::replace);
}

std::string Excerpt(std::string text, size_t most) {
  if (text.size() <= most) return text;
  while (most > 0 && (static_cast<unsigned char>(text[most]) & 0xc0u) == 0x80u) --most;
  return text.substr(0, most) + "...";
}

std::string Quote(std::string_view text, size_t most) {
  // Cut before it is escaped: a megabyte of a name is not worth a megabyte of escapes.
  return Excerpt(DumpJson(Json(std::string(text.substr(0, most)))), most + 2) +
         (text.size() > most ? "..." : "");
}

}  // namespace guildhall
