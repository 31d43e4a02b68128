#include "adapters/name_pattern.h"

#include <utility>

#include "adapters/regex_syntax.h"
#include "base/json.h"
#include "base/status.h"
#include "base/str_cat.h"

namespace guildhall {
namespace {

bool IsWord(unsigned char c) {
  return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';
}

bool AtWordEdge(std::string_view text, size_t at) {
  const bool before = at > 0 && IsWord(static_cast<unsigned char>(text[at - 1]));
  const bool behind = at < text.size() && IsWord(static_cast<unsigned char>(text[at]));
  return before != behind;
}

}  // namespace

// Tree -> steps. A repetition writes its operand once per count.
class NamePattern::Writer {
 public:
  explicit Writer(NamePattern& pattern) : pattern_(pattern) {}

  void Write(const RegexNode& node) {
    switch (node.kind) {
      case RegexNode::Kind::kOneOf:
        Add(Op::kOneOf, static_cast<int32_t>(pattern_.classes_.size()));
        return pattern_.classes_.push_back(node.members);
      case RegexNode::Kind::kSequence:
        for (const RegexNode& child : node.children) Write(child);
        return;
      case RegexNode::Kind::kChoice:
        return WriteChoice(node);
      case RegexNode::Kind::kRepeat:
        return WriteRepeat(node);
      case RegexNode::Kind::kBegin:
        return void(Add(Op::kBegin));
      case RegexNode::Kind::kEnd:
        return void(Add(Op::kEnd));
      case RegexNode::Kind::kWordEdge:
        return void(Add(Op::kWordEdge));
      case RegexNode::Kind::kNoWordEdge:
        return void(Add(Op::kNoWordEdge));
      case RegexNode::Kind::kAhead:
      case RegexNode::Kind::kNotAhead: {
        const size_t look = Add(node.kind == RegexNode::Kind::kAhead ? Op::kAhead : Op::kNotAhead);
        Write(node.children.front());
        Add(Op::kMatch);
        pattern_.steps_[look].x = Here();
        return;
      }
    }
  }

  size_t Add(Op op, int32_t x = 0, int32_t y = 0) {
    if (!full()) pattern_.steps_.push_back({op, x, y});
    return pattern_.steps_.size() - 1;
  }
  bool full() const { return pattern_.steps_.size() >= kMaxSteps; }

 private:
  static constexpr size_t kMaxSteps = 2'000;

  int32_t Here() const { return static_cast<int32_t>(pattern_.steps_.size()); }

  void WriteChoice(const RegexNode& node) {
    std::vector<size_t> ends;
    for (size_t i = 0; i + 1 < node.children.size(); ++i) {
      const size_t split = Add(Op::kSplit);
      pattern_.steps_[split].x = Here();
      Write(node.children[i]);
      ends.push_back(Add(Op::kJump));
      pattern_.steps_[split].y = Here();
    }
    Write(node.children.back());
    for (const size_t end : ends) pattern_.steps_[end].x = Here();
  }

  void WriteRepeat(const RegexNode& node) {
    const RegexNode& child = node.children.front();
    for (int i = 0; i < node.least && !full(); ++i) Write(child);
    if (node.most == RegexNode::kMany) {
      const size_t split = Add(Op::kSplit);
      pattern_.steps_[split].x = Here();
      Write(child);
      Add(Op::kJump, static_cast<int32_t>(split));
      pattern_.steps_[split].y = Here();
      return;
    }
    std::vector<size_t> splits;
    for (int i = node.least; i < node.most && !full(); ++i) {
      splits.push_back(Add(Op::kSplit));
      pattern_.steps_[splits.back()].x = Here();
      Write(child);
    }
    for (const size_t split : splits) pattern_.steps_[split].y = Here();
  }

  NamePattern& pattern_;
};

absl::StatusOr<NamePattern> NamePattern::Compile(std::string_view text) {
  GH_ASSIGN_OR_RETURN(const RegexNode root, ParseRegex(text));
  NamePattern pattern;
  Writer writer(pattern);
  writer.Write(root);
  writer.Add(Op::kMatch);
  if (!writer.full()) return pattern;
  return absl::FailedPreconditionError(StrCat("regular expression ", Quote(text),
                                              ": counts that make it so large are not served: name the "
                                              "modules in a list instead"));
}

bool NamePattern::Matches(std::string_view text) const {
  return Run(0, text, 0, /*whole=*/true);
}

bool NamePattern::Run(int32_t step, std::string_view text, size_t at, bool whole) const {
  std::vector<int32_t> states, next;
  std::vector<bool> seen(steps_.size());
  Follow(step, text, at, states, seen);
  for (;; ++at) {
    const bool end = at == text.size();
    next.clear();
    seen.assign(steps_.size(), false);
    for (const int32_t state : states) {
      const Step& here = steps_[static_cast<size_t>(state)];
      if (here.op == Op::kMatch && (end || !whole)) return true;
      if (here.op != Op::kOneOf || end) continue;
      if (!classes_[static_cast<size_t>(here.x)].test(static_cast<unsigned char>(text[at]))) continue;
      Follow(state + 1, text, at + 1, next, seen);
    }
    if (end || next.empty()) return false;
    std::swap(states, next);
  }
}

bool NamePattern::Holds(const Step& step, int32_t index, std::string_view text, size_t at) const {
  switch (step.op) {
    case Op::kBegin:
      return at == 0;
    case Op::kEnd:
      return at == text.size();
    case Op::kWordEdge:
      return AtWordEdge(text, at);
    case Op::kNoWordEdge:
      return !AtWordEdge(text, at);
    case Op::kAhead:
      return Run(index + 1, text, at, /*whole=*/false);
    case Op::kNotAhead:
      return !Run(index + 1, text, at, /*whole=*/false);
    default:
      return false;
  }
}

void NamePattern::Follow(int32_t step, std::string_view text, size_t at, std::vector<int32_t>& states,
                         std::vector<bool>& seen) const {
  std::vector<int32_t> open = {step};
  while (!open.empty()) {
    const int32_t index = open.back();
    open.pop_back();
    if (seen[static_cast<size_t>(index)]) continue;
    seen[static_cast<size_t>(index)] = true;
    const Step& here = steps_[static_cast<size_t>(index)];
    switch (here.op) {
      case Op::kOneOf:
      case Op::kMatch:
        states.push_back(index);
        break;
      case Op::kSplit:
        open.push_back(here.y);
        open.push_back(here.x);
        break;
      case Op::kJump:
        open.push_back(here.x);
        break;
      default:
        if (!Holds(here, index, text, at)) break;
        open.push_back(here.op == Op::kAhead || here.op == Op::kNotAhead ? here.x : index + 1);
        break;
    }
  }
}

}  // namespace guildhall
