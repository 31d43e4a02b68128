// Whatever lies in the place of a file that was not downloaded is called by its name.
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <string>

#include "base/json.h"
#include "base/stand_in.h"
#include "tests/support/temp_folder.h"

namespace guildhall {
namespace {

using Catch::Matchers::Contains;

const std::string kPointer =
    "version https://git-lfs.github.com/spec/v1\noid sha256:" + std::string(64, 'a') + "\nsize 8854808\n";

std::string Message(const absl::Status& status) {
  return std::string(status.message());
}

TEST_CASE("stand-ins: each kind is told by its first bytes") {
  for (const auto& [text, what] :
       {std::pair(kPointer, "Git LFS pointer, and the file itself (8854808 bytes) was not downloaded"),
        std::pair(std::string("version https://git-lfs.github.com/spec/v1\n"),
                  "Git LFS pointer, and the file itself was"),
        std::pair(std::string("/annex/objects/MD5E-s12--0123\n"), "git-annex"),
        std::pair(std::string("# xet version 0\n"), "Xet pointer"),
        std::pair(std::string("\n\n  <!DOCTYPE html>\n<html>"), "a web page"),
        std::pair(std::string("\xef\xbb\xbf<HTML lang=en>"), "a web page"),
        std::pair(std::string("<?xml version=\"1.0\"?><Error><Code>AccessDenied"), "a web page"),
        std::pair(std::string("Entry not found"), "a server's refusal and not the file (Entry not found)"),
        std::pair(std::string("Invalid username or password."), "a server's refusal"),
        std::pair(std::string(4096, '\0'), "nothing but zeros")}) {
    INFO(text.substr(0, 40));
    CHECK_THAT(StandInText(text), Contains(what) && Contains("download it again"));
    CHECK_THAT(Message(ParseJson(text, "config.json").status()), Contains("config.json: ") && Contains(what));
  }
}

TEST_CASE("stand-ins: files of ours are none") {
  for (const std::string& text : {std::string(), std::string("{}"),
                                  std::string("{\"version\": \"https://git-lfs.github.com/spec/v1\"}"),
                                  std::string("{{ bos_token }}<html>"),
                                  std::string("\x08\0\0\0\0\0\0\0{}      ", 16), std::string(63, '\0')}) {
    INFO(text);
    CHECK(StandInText(text).empty());
  }
}

TEST_CASE("stand-ins: an empty file, and a download that was not completed") {
  const TempFolder folder;
  const std::string path = folder / "model.safetensors";
  CHECK(CheckNoStandIn(path).ok());
  CHECK(UnfinishedName("model.safetensors.part") == "model.safetensors");
  CHECK(UnfinishedName("model.safetensors").empty());
  std::ofstream(path + ".incomplete") << "half";
  CHECK_THAT(Message(CheckNoStandIn(path)),
             Contains(path + ".incomplete is there: the download was not completed"));
  CHECK(MappedFile::Open(path).status().code() == absl::StatusCode::kFailedPrecondition);
  CHECK_THAT(Message(ReadSmallFile(path, 100).status()), Contains("the download was not completed"));
  const std::string link = folder / "link";
  std::filesystem::create_symlink(folder / "blobs", link);
  CHECK_THAT(Message(CheckNoStandIn(link)), Contains("a link to a file that is not there"));
  std::ofstream(path).flush();
  CHECK_THAT(Message(CheckNoStandIn(path)), Contains("the file is empty"));
  std::ofstream(path) << kPointer;
  CHECK_THAT(Message(CheckNoStandIn(path)), Contains(path + ": this is a Git LFS pointer"));
  for (const char* empty : {"", " \n"})
    CHECK_THAT(Message(ParseJson(empty, "config.json").status()),
               Contains("config.json: ") && Contains("empty"));
}

}  // namespace
}  // namespace guildhall
