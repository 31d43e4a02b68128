#include "adapters/regex_syntax.h"

#include <algorithm>
#include <utility>

#include "base/json.h"
#include "base/status.h"
#include "base/str_cat.h"

namespace guildhall {
namespace {

using Kind = RegexNode::Kind;
using Members = std::bitset<256>;

constexpr size_t kMaxPattern = 1000;
constexpr int kMaxDepth = 64, kMaxLookaheads = 8, kMaxCount = 1000;
constexpr std::string_view kCure = ": name the modules in a list instead";

bool IsDigit(char c) {
  return c >= '0' && c <= '9';
}

bool IsLetter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

void AddRange(Members& members, char first, char last) {
  for (int c = static_cast<unsigned char>(first); c <= static_cast<unsigned char>(last); ++c) {
    members.set(static_cast<size_t>(c));
  }
}

// The class of \d, \w, \s or of their opposites; false for another letter.
bool EscapedClass(char c, Members& members) {
  Members found;
  switch (c) {
    case 'd':
    case 'D':
      AddRange(found, '0', '9');
      break;
    case 'w':
    case 'W':
      AddRange(found, '0', '9');
      AddRange(found, 'a', 'z');
      AddRange(found, 'A', 'Z');
      found.set('_');
      break;
    case 's':
    case 'S':
      for (const char space : {' ', '\t', '\n', '\r', '\f', '\v'}) found.set(static_cast<size_t>(space));
      break;
    default:
      return false;
  }
  members |= c >= 'a' ? found : ~found;
  return true;
}

RegexNode OneOf(const Members& members) {
  RegexNode node;
  node.kind = Kind::kOneOf;
  node.members = members;
  return node;
}

RegexNode Literal(char c) {
  Members members;
  members.set(static_cast<unsigned char>(c));
  return OneOf(members);
}

RegexNode Assertion(Kind kind) {
  RegexNode node;
  node.kind = kind;
  return node;
}

// Recursive descent; one use.
class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  absl::StatusOr<RegexNode> Run() {
    if (text_.size() > kMaxPattern) {
      return absl::FailedPreconditionError(StrCat("a regular expression of at most ", kMaxPattern,
                                                  " characters is read, found ", text_.size(), kCure));
    }
    if (!std::all_of(text_.begin(), text_.end(), [](char c) { return c >= ' ' && c <= '~'; })) {
      return NotServed("a character that is not plain ASCII");
    }
    GH_ASSIGN_OR_RETURN(RegexNode root, Choice());
    if (More()) return Broken("an unmatched )");
    return root;
  }

 private:
  absl::StatusOr<RegexNode> Choice() {
    if (++depth_ > kMaxDepth) return NotServed(StrCat("nesting deeper than ", kMaxDepth));
    RegexNode choice;
    choice.kind = Kind::kChoice;
    do {
      GH_ASSIGN_OR_RETURN(choice.children.emplace_back(), Sequence());
    } while (Take('|'));
    --depth_;
    if (choice.children.size() > 1) return choice;
    RegexNode only = std::move(choice.children.front());
    return only;
  }

  absl::StatusOr<RegexNode> Sequence() {
    RegexNode sequence;
    while (More() && text_[at_] != '|' && text_[at_] != ')') {
      GH_ASSIGN_OR_RETURN(sequence.children.emplace_back(), Repeated());
    }
    return sequence;
  }

  absl::StatusOr<RegexNode> Repeated() {
    const int lookaheads = lookaheads_;
    GH_ASSIGN_OR_RETURN(RegexNode operand, Operand());
    RegexNode repeat;
    repeat.kind = Kind::kRepeat;
    GH_ASSIGN_OR_RETURN(const bool repeats, Quantifier(repeat));
    if (!repeats) return operand;
    if (lookaheads_ != lookaheads) return NotServed("a lookahead that is repeated");
    if (Take('+')) return NotServed("a possessive quantifier");
    Take('?');  // lazy: the same names match
    RegexNode second;
    GH_ASSIGN_OR_RETURN(const bool twice, Quantifier(second));
    if (twice) return Broken("a quantifier after a quantifier");
    if (operand.kind != Kind::kOneOf && operand.kind != Kind::kSequence && operand.kind != Kind::kChoice &&
        operand.kind != Kind::kRepeat) {
      return Broken("a quantifier after something without width");
    }
    repeat.children.push_back(std::move(operand));
    return repeat;
  }

  // Reads * + ? {m} {m,} {,n} {m,n} into `repeat`; false when there is none.
  absl::StatusOr<bool> Quantifier(RegexNode& repeat) {
    if (Take('*')) return Bounds(repeat, 0, RegexNode::kMany);
    if (Take('+')) return Bounds(repeat, 1, RegexNode::kMany);
    if (Take('?')) return Bounds(repeat, 0, 1);
    if (!More() || text_[at_] != '{') return false;
    ++at_;
    const int least = Count();
    int most = least;
    const bool comma = Take(',');
    if (comma) most = Count();
    if (!Take('}') || (least < 0 && (!comma || most < 0))) return NotServed("a brace that is no quantifier");
    if (least > kMaxCount || most > kMaxCount) return NotServed(StrCat("a count over ", kMaxCount));
    if (most >= 0 && std::max(least, 0) > most) return Broken("a quantifier with its bounds swapped");
    return Bounds(repeat, std::max(least, 0), most < 0 ? RegexNode::kMany : most);
  }

  bool Bounds(RegexNode& repeat, int least, int most) {
    repeat.least = least;
    repeat.most = most;
    return true;
  }

  // -1 when there are no digits.
  int Count() {
    int count = -1;
    while (More() && IsDigit(text_[at_])) {
      count = std::min(std::max(count, 0) * 10 + (text_[at_++] - '0'), kMaxCount + 1);
    }
    return count;
  }

  absl::StatusOr<RegexNode> Operand() {
    const char c = text_[at_++];
    switch (c) {
      case '(':
        return Group();
      case '[':
        return Bracket();
      case '\\':
        return Escape();
      case '.':
        return OneOf(~Members());
      case '^':
        return Assertion(Kind::kBegin);
      case '$':
        return Assertion(Kind::kEnd);
      case '*':
      case '+':
      case '?':
        return Broken("a quantifier with nothing before it");
      default:
        return Literal(c);
    }
  }

  absl::StatusOr<RegexNode> Group() {
    Kind kind = Kind::kSequence;
    if (Take('?')) {
      if (Take('=')) {
        kind = Kind::kAhead;
      } else if (Take('!')) {
        kind = Kind::kNotAhead;
      } else if (!Take(':')) {
        return NotServed(StrCat("(?", text_.substr(at_, 2), " (a name, flags, or a look behind)"));
      }
    }
    const bool look = kind != Kind::kSequence;
    if (look && ++lookaheads_ > kMaxLookaheads) {
      return NotServed(StrCat("more than ", kMaxLookaheads, " lookaheads"));
    }
    if (look && std::exchange(inside_lookahead_, true)) return NotServed("a lookahead inside a lookahead");
    GH_ASSIGN_OR_RETURN(RegexNode inner, Choice());
    if (!Take(')')) return Broken("a missing )");
    if (look) inside_lookahead_ = false;
    RegexNode group = Assertion(kind);
    group.children.push_back(std::move(inner));
    return group;
  }

  absl::StatusOr<RegexNode> Escape() {
    if (!More()) return Broken("a \\ at the end");
    const char c = text_[at_++];
    Members members;
    if (EscapedClass(c, members)) return OneOf(members);
    if (c == 'b') return Assertion(Kind::kWordEdge);
    if (c == 'B') return Assertion(Kind::kNoWordEdge);
    if (c == 'A') return Assertion(Kind::kBegin);
    if (c == 'Z') return Assertion(Kind::kEnd);
    if (IsDigit(c)) return NotServed("a reference to a group");
    if (IsLetter(c)) return NotServed(StrCat("\\", c));
    return Literal(c);
  }

  absl::StatusOr<RegexNode> Bracket() {
    const bool others = Take('^');
    Members members;
    bool first = true;
    while (More() && (first || text_[at_] != ']')) {
      first = false;
      char low = 0;
      GH_ASSIGN_OR_RETURN(const bool single, Member(members, low));
      const bool range = single && at_ + 1 < text_.size() && text_[at_] == '-' && text_[at_ + 1] != ']';
      if (!range) continue;
      ++at_;
      char high = 0;
      Members unused;
      GH_ASSIGN_OR_RETURN(const bool ends, Member(unused, high));
      if (!ends || high < low) return Broken("a range in brackets that has no sense");
      AddRange(members, low, high);
    }
    if (!Take(']')) return Broken("a missing ]");
    return OneOf(others ? ~members : members);
  }

  // One member of a class, added to `members`; true when it is a single character, `c`.
  absl::StatusOr<bool> Member(Members& members, char& c) {
    c = text_[at_++];
    if (c == '[') return NotServed("a [ inside brackets");
    if (c == '\\') {
      if (!More()) return Broken("a \\ at the end");
      c = text_[at_++];
      if (EscapedClass(c, members)) return false;
      if (IsLetter(c) || IsDigit(c)) return NotServed(StrCat("\\", c, " inside brackets"));
    }
    members.set(static_cast<unsigned char>(c));
    return true;
  }

  bool More() const { return at_ < text_.size(); }
  bool Take(char c) {
    const bool is = More() && text_[at_] == c;
    if (is) ++at_;
    return is;
  }
  absl::Status Broken(std::string_view why) const {
    return absl::InvalidArgumentError(
        StrCat("regular expression ", Quote(text_), ": ", why, " at character ", at_));
  }
  absl::Status NotServed(std::string_view what) const {
    return absl::FailedPreconditionError(
        StrCat("regular expression ", Quote(text_), ": ", what, " is not served", kCure));
  }

  std::string_view text_;
  size_t at_ = 0;
  int depth_ = 0, lookaheads_ = 0;
  bool inside_lookahead_ = false;
};

}  // namespace

absl::StatusOr<RegexNode> ParseRegex(std::string_view text) {
  return Parser(text).Run();
}

}  // namespace guildhall
