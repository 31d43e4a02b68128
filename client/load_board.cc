#include "client/load_board.h"

#include <algorithm>
#include <cstdio>

namespace guildhall {
namespace {

std::string Cut(std::string text, size_t width) {
  std::replace(text.begin(), text.end(), '\n', ' ');
  if (text.size() <= width) return text;
  size_t end = width - 3;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
  return text.substr(0, end) + "...";
}

}  // namespace

LoadBoard::LoadBoard(const std::vector<LoadPrompt>& prompts, bool live)
    : prompts_(prompts), answers_(prompts.size()), live_(live) {
  if (live_) Draw(false);
}

void LoadBoard::Append(size_t index, const std::string& text) {
  std::lock_guard lock(mutex_);
  answers_[index] += text;
  if (live_) Draw(true);
}

void LoadBoard::PrintFinal() {
  if (!live_) Draw(false);
}

void LoadBoard::Draw(bool again) {
  if (again) std::printf("\033[%zuA", prompts_.size());
  for (size_t i = 0; i < prompts_.size(); ++i) {
    std::printf("%s%-14s %-52s | %s\n", live_ ? "\033[2K" : "", prompts_[i].task.c_str(),
                Cut(prompts_[i].prompt, 52).c_str(), Cut(answers_[i], 64).c_str());
  }
  std::fflush(stdout);
}

}  // namespace guildhall
