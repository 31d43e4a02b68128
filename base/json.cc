#include "base/json.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>
#include <unordered_set>
#include <utility>

#include "base/check.h"
#include "base/status.h"
#include "base/str_cat.h"

namespace guildhall {
namespace {

// Reads the text and remembers how far the parser has come, so that our own refusals can name line and
// column.
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

// Cut to a length that fits into a message, never inside a UTF-8 sequence.
std::string Excerpt(std::string text, size_t most = 60) {
  if (text.size() <= most) return text;
  while (most > 0 && (static_cast<unsigned char>(text[most]) & 0xc0u) == 0x80u) --most;
  return text.substr(0, most) + "...";
}

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
    // "[json.exception.parse_error.101] parse error at line 1, column 2: WHAT"; the place is ours to say.
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

std::string Found(const Json& json) {
  return StrCat("found ", Excerpt(DumpJson(json)));
}

}  // namespace

absl::StatusOr<Json> ParseJson(std::string_view text, std::string_view what, const JsonLimits& limits) {
  if (text.size() > limits.max_bytes) {
    return absl::InvalidArgumentError(
        StrCat(what, ": ", text.size(), " bytes of JSON, at most ", limits.max_bytes, " are read"));
  }
  // The lexer takes a NUL for the end of the text and would ignore the rest.
  if (const size_t nul = text.find('\0'); nul != std::string_view::npos) {
    return absl::InvalidArgumentError(StrCat(what, ": ", LineAndColumn(text, nul), ": NUL character"));
  }
  TreeBuilder builder(limits);
  const char* furthest = text.data();
  const bool parsed = Json::sax_parse(
      TrackedIterator(text.data(), &furthest), TrackedIterator(text.data() + text.size(), &furthest),
      &builder, Json::input_format_t::json, /*strict=*/true, /*ignore_comments=*/limits.comments);
  if (!parsed) {
    const size_t read = static_cast<size_t>(furthest - text.data());
    return absl::InvalidArgumentError(
        StrCat(what, ": ", LineAndColumn(text, read == 0 ? 0 : read - 1), ": ", builder.refusal()));
  }
  return builder.TakeRoot();
}

std::string DumpJson(const Json& json, int indent) {
  return json.dump(indent, ' ', false, Json::error_handler_t::replace);
}

std::string Quote(std::string_view text, size_t most) {
  // Cut before it is escaped: a megabyte of a name is not worth a megabyte of escapes.
  return Excerpt(DumpJson(Json(std::string(text.substr(0, most)))), most + 2) +
         (text.size() > most ? "..." : "");
}

JsonObject::JsonObject(const Json& json, std::string what, std::string path)
    : json_(&json), what_(std::move(what)), path_(std::move(path)) {}

absl::StatusOr<JsonObject> JsonObject::From(const Json& json, std::string what, std::string path) {
  if (!json.is_object()) {
    return absl::InvalidArgumentError(
        StrCat(what, path.empty() ? "" : ": ", path, ": expected an object, ", Found(json)));
  }
  return JsonObject(json, std::move(what), std::move(path));
}

bool JsonObject::Has(std::string_view key) const {
  const auto at = json_->find(std::string(key));
  return at != json_->end() && !at->is_null();
}

const Json* JsonObject::Find(std::string_view key) const {
  MarkRead(key);
  const auto at = json_->find(std::string(key));
  return at == json_->end() || at->is_null() ? nullptr : &*at;
}

std::string JsonObject::Where(std::string_view key) const {
  return StrCat(what_, ": ", path_, path_.empty() ? "" : ".", key);
}

absl::Status JsonObject::Error(std::string_view key, std::string_view message) const {
  return absl::InvalidArgumentError(StrCat(Where(key), ": ", message));
}

absl::StatusOr<int64_t> JsonObject::Int(std::string_view key, int64_t min, int64_t max) const {
  const Json* json = Find(key);
  const std::string expected = StrCat("expected an integer from ", min, " to ", max, ", ");
  if (json == nullptr) return Error(key, StrCat(expected, "the key is missing"));
  std::optional<int64_t> value;
  if (json->is_number_unsigned()) {
    const uint64_t wide = json->get<uint64_t>();
    if (wide <= static_cast<uint64_t>(std::numeric_limits<int64_t>::max()))
      value = static_cast<int64_t>(wide);
  } else if (json->is_number_integer()) {
    value = json->get<int64_t>();
  } else if (json->is_number_float()) {
    const double wide = json->get<double>();
    if (std::abs(wide) <= 9007199254740992.0 && wide == std::floor(wide)) value = static_cast<int64_t>(wide);
  }
  if (!value || *value < min || *value > max) return Error(key, StrCat(expected, Found(*json)));
  return *value;
}

absl::StatusOr<double> JsonObject::Number(std::string_view key) const {
  const Json* json = Find(key);
  if (json == nullptr) return Error(key, "expected a number, the key is missing");
  if (!json->is_number() || !std::isfinite(json->get<double>())) {
    return Error(key, StrCat("expected a number, ", Found(*json)));
  }
  return json->get<double>();
}

absl::StatusOr<bool> JsonObject::Bool(std::string_view key) const {
  const Json* json = Find(key);
  if (json == nullptr) return Error(key, "expected true or false, the key is missing");
  if (!json->is_boolean()) return Error(key, StrCat("expected true or false, ", Found(*json)));
  return json->get<bool>();
}

absl::StatusOr<std::string> JsonObject::String(std::string_view key) const {
  const Json* json = Find(key);
  if (json == nullptr) return Error(key, "expected a string, the key is missing");
  if (!json->is_string()) return Error(key, StrCat("expected a string, ", Found(*json)));
  return json->get<std::string>();
}

absl::StatusOr<JsonObject> JsonObject::Object(std::string_view key) const {
  const Json* json = Find(key);
  if (json == nullptr) return Error(key, "expected an object, the key is missing");
  return From(*json, what_, StrCat(path_, path_.empty() ? "" : ".", key));
}

absl::StatusOr<int64_t> JsonObject::IntOr(std::string_view key, int64_t fallback, int64_t min,
                                          int64_t max) const {
  if (Find(key) == nullptr) return fallback;
  return Int(key, min, max);
}

absl::StatusOr<double> JsonObject::NumberOr(std::string_view key, double fallback) const {
  if (Find(key) == nullptr) return fallback;
  return Number(key);
}

absl::StatusOr<bool> JsonObject::BoolOr(std::string_view key, bool fallback) const {
  if (Find(key) == nullptr) return fallback;
  return Bool(key);
}

absl::StatusOr<std::string> JsonObject::StringOr(std::string_view key, std::string_view fallback) const {
  if (Find(key) == nullptr) return std::string(fallback);
  return String(key);
}

absl::StatusOr<std::vector<int64_t>> JsonObject::IntsOr(std::string_view key,
                                                        std::vector<int64_t> fallback) const {
  const Json* json = Find(key);
  if (json == nullptr) return fallback;
  std::vector<int64_t> values;
  const absl::Status bad = Error(key, StrCat("expected a list of integers, ", Found(*json)));
  if (!json->is_array()) return bad;
  for (const Json& item : *json) {
    if (!item.is_number_integer()) return bad;
    if (item.is_number_unsigned() &&
        item.get<uint64_t>() > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()))
      return bad;
    values.push_back(item.get<int64_t>());
  }
  return values;
}

absl::StatusOr<std::vector<std::string>> JsonObject::StringsOr(std::string_view key,
                                                               std::vector<std::string> fallback) const {
  const Json* json = Find(key);
  if (json == nullptr) return fallback;
  std::vector<std::string> values;
  const absl::Status bad = Error(key, StrCat("expected a list of strings, ", Found(*json)));
  if (!json->is_array()) return bad;
  for (const Json& item : *json) {
    if (!item.is_string()) return bad;
    values.push_back(item.get<std::string>());
  }
  return values;
}

void JsonObject::MarkRead(std::string_view key) const {
  for (const std::string& known : read_) {
    if (known == key) return;
  }
  read_.emplace_back(key);
}

std::vector<std::string> JsonObject::Unread() const {
  const std::unordered_set<std::string> read(read_.begin(), read_.end());
  std::vector<std::string> unread;
  for (const auto& [key, value] : json_->items()) {
    if (!read.contains(key)) unread.push_back(key);
  }
  return unread;
}

absl::Status JsonObject::CheckAllRead() const {
  const std::vector<std::string> unread = Unread();
  if (unread.empty()) return absl::OkStatus();
  const std::string& key = unread.front();
  std::string message = StrCat("unknown key ", Quote(key));
  if (const auto near = NearestName(key, read_)) StrAppend(&message, "; did you mean \"", *near, "\"?");
  return absl::InvalidArgumentError(StrCat(what_, ": ", path_, path_.empty() ? "" : ": ", message));
}

std::optional<std::string> NearestName(std::string_view name, const std::vector<std::string>& candidates) {
  constexpr size_t kLongest = 64;  // the cost is quadratic, and no key of ours is longer
  if (name.empty() || name.size() > kLongest) return std::nullopt;
  size_t best = std::max<size_t>(1, name.size() / 4) + 1;
  std::optional<std::string> nearest;
  for (const std::string& candidate : candidates) {
    if (candidate.size() > kLongest) continue;
    // Edit distance with swapped neighbours as one edit; three rows of the table.
    std::vector<size_t> before, last(candidate.size() + 1), row(candidate.size() + 1);
    for (size_t j = 0; j <= candidate.size(); ++j) row[j] = j;
    for (size_t i = 1; i <= name.size(); ++i) {
      before = last;
      last = row;
      row[0] = i;
      for (size_t j = 1; j <= candidate.size(); ++j) {
        const size_t substitute = last[j - 1] + (name[i - 1] == candidate[j - 1] ? 0 : 1);
        row[j] = std::min({substitute, last[j] + 1, row[j - 1] + 1});
        if (i > 1 && j > 1 && name[i - 1] == candidate[j - 2] && name[i - 2] == candidate[j - 1]) {
          row[j] = std::min(row[j], before[j - 2] + 1);
        }
      }
    }
    if (row.back() < best) {
      best = row.back();
      nearest = candidate;
    }
  }
  return nearest;
}

}  // namespace guildhall
