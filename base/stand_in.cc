#include "base/stand_in.h"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <span>
#include <system_error>

#include "base/status.h"
#include "base/str_cat.h"

namespace guildhall {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kAgain = "download it again";
constexpr std::string_view kEndings[] = {".incomplete", ".part",     ".partial",
                                         ".crdownload", ".download", ".aria2"};

bool StartsWithWord(std::string_view text, std::string_view lower) {
  return text.size() >= lower.size() &&
         std::equal(lower.begin(), lower.end(), text.begin(), [](char a, char b) {
           return a == static_cast<char>(std::tolower(static_cast<unsigned char>(b)));
         });
}

std::string_view WithoutSpace(std::string_view text) {
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
  const size_t first = text.find_first_not_of(" \t\r\n");
  return first == std::string_view::npos ? std::string_view() : text.substr(first);
}

// " (8854808 bytes)", or nothing where the pointer does not say.
std::string StatedSize(std::string_view pointer) {
  const size_t at = pointer.find("\nsize ");
  if (at == std::string_view::npos) return "";
  std::string digits;
  for (const char c : pointer.substr(at + 6)) {
    if (c < '0' || c > '9' || digits.size() == 19) break;
    digits += c;
  }
  return digits.empty() ? "" : StrCat(" (", digits, " bytes)");
}

std::string PointerText(std::string_view text) {
  if (text.starts_with("version https://git-lfs.github.com/spec/") ||
      text.starts_with("version https://hawser.github.com/spec/")) {
    return StrCat("this is a Git LFS pointer, and the file itself", StatedSize(text),
                  " was not downloaded: run \"git lfs pull\" in its folder, or ", kAgain);
  }
  if (text.starts_with("/annex/objects/")) {
    return StrCat(
        "this is a pointer of git-annex, and the file itself was not downloaded: run \"git annex get\" "
        "in its folder, or ",
        kAgain);
  }
  if (text.starts_with("# xet version ")) {
    return StrCat("this is a Xet pointer, and the file itself was not downloaded: ", kAgain);
  }
  return "";
}

std::string AnswerText(std::string_view text) {
  for (const std::string_view page : {"<!doctype", "<html", "<head", "<?xml"}) {
    if (StartsWithWord(text, page)) {
      return StrCat(
          "this is a web page and not the file: the download asked for the wrong address, or needed a "
          "login; ",
          kAgain);
    }
  }
  for (const std::string_view refusal :
       {"entry not found", "repository not found", "invalid username or password", "access to model ",
        "unauthorized", "access denied", "forbidden"}) {
    if (StartsWithWord(text, refusal)) {
      return StrCat("this is a server's refusal and not the file (",
                    text.substr(0, text.find_first_of("\r\n")).substr(0, 80), "): ", kAgain);
    }
  }
  return "";
}

}  // namespace

std::string StandInText(std::string_view begin) {
  if (begin.empty()) return "";
  const std::string_view first = begin.substr(0, kStandInBytes);
  if (first.size() >= 64 && first.find_first_not_of('\0') == std::string_view::npos) {
    return StrCat("the file begins with nothing but zeros: its download was not completed; ", kAgain);
  }
  const std::string_view text = WithoutSpace(first);
  std::string pointer = PointerText(text);
  return pointer.empty() ? AnswerText(text) : pointer;
}

absl::Status CheckNoStandIn(const MappedFile& file) {
  const size_t size = file.bytes().size();
  if (size == 0) {
    return absl::InvalidArgumentError(
        StrCat(file.path(), ": the file is empty: its download or copy has failed; ", kAgain));
  }
  std::string begin(std::min(size, kStandInBytes), '\0');
  GH_RETURN_IF_ERROR(file.ReadAt(0, std::as_writable_bytes(std::span(begin))));
  const std::string text = StandInText(begin);
  return text.empty() ? absl::OkStatus() : absl::InvalidArgumentError(StrCat(file.path(), ": ", text));
}

absl::Status CheckNoStandIn(const std::string& path) {
  const auto file = MappedFile::Open(path);
  if (file.ok()) return CheckNoStandIn(*file);
  const std::string unfinished = absl::IsFailedPrecondition(file.status()) ? UnfinishedText(path) : "";
  return unfinished.empty() ? absl::OkStatus() : file.status();
}

std::string UnfinishedText(const std::string& path) {
  std::error_code error;
  if (fs::is_symlink(fs::symlink_status(path, error)) && !fs::exists(path, error)) {
    return StrCat("it is a link to a file that is not there: the download was not completed; ", kAgain);
  }
  for (const std::string_view ending : kEndings) {
    const std::string beside = StrCat(path, ending);
    if (fs::exists(beside, error)) {
      return StrCat(beside, " is there: the download was not completed; finish it, or ", kAgain);
    }
  }
  return "";
}

std::string_view UnfinishedName(std::string_view name) {
  for (const std::string_view ending : kEndings) {
    if (name.size() > ending.size() && name.ends_with(ending))
      return name.substr(0, name.size() - ending.size());
  }
  return "";
}

}  // namespace guildhall
