#include "base/mapped_file.h"

#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <catch2/catch.hpp>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>

#include "tests/support/temp_folder.h"

namespace guildhall {
namespace {

using Catch::Matchers::Contains;

// A folder of this test's own, removed at its end.
class Folder {
 public:
  std::string Path(const std::string& name) const { return folder_ / name; }
  std::string Write(const std::string& name, const std::string& bytes) const {
    std::ofstream(Path(name), std::ios::binary) << bytes;
    return Path(name);
  }

 private:
  TempFolder folder_;
};

TEST_CASE("mapped file: holds the bytes of the file, also after a move and after the name is gone") {
  const Folder folder;
  const std::string path = folder.Write("a", "hello");
  auto opened = MappedFile::Open(path);
  REQUIRE(opened.ok());
  std::filesystem::remove(path);
  const MappedFile file = std::move(*opened);
  REQUIRE(file.bytes().size() == 5);
  CHECK(std::memcmp(file.bytes().data(), "hello", 5) == 0);
  CHECK(file.path() == path);
  std::array<std::byte, 3> part;
  REQUIRE(file.ReadAt(2, part).ok());
  CHECK(std::memcmp(part.data(), "llo", 3) == 0);
}

TEST_CASE("mapped file: an empty file is an empty span") {
  const Folder folder;
  const auto file = MappedFile::Open(folder.Write("empty", ""));
  REQUIRE(file.ok());
  CHECK(file->bytes().empty());
}

TEST_CASE("mapped file: a file cut short after mapping is a DATA_LOSS error, not a signal") {
  const Folder folder;
  const std::string path = folder.Write("a", std::string(20000, 'x'));
  const auto file = MappedFile::Open(path);
  REQUIRE(file.ok());
  REQUIRE(truncate(path.c_str(), 100) == 0);
  std::array<std::byte, 50> part;
  CHECK(file->ReadAt(0, part).ok());
  const absl::Status status = file->ReadAt(19000, part);
  CHECK(status.code() == absl::StatusCode::kDataLoss);
  CHECK_THAT(std::string(status.message()),
             Contains(path) && Contains("20000 bytes") && Contains("cut short"));
}

TEST_CASE(
    "mapped file: a file that is written to while it is open is noticed, one that is replaced is not "
    "harmed") {
  const Folder folder;
  const std::string path = folder.Write("a", "12345");
  const auto file = MappedFile::Open(path);
  REQUIRE(file.ok());
  CHECK(file->CheckUnchanged().ok());
  std::filesystem::rename(folder.Write("b", "abcde"), path);
  CHECK(file->CheckUnchanged().ok());
  CHECK(std::memcmp(file->bytes().data(), "12345", 5) == 0);

  const auto again = MappedFile::Open(path);
  REQUIRE(again.ok());
  std::ofstream(path, std::ios::app) << "more";
  CHECK(again->CheckUnchanged().code() == absl::StatusCode::kDataLoss);
}

TEST_CASE("mapped file: what is not a regular file is refused before it is read") {
  const Folder folder;
  const auto code = [](const std::string& path) { return MappedFile::Open(path).status().code(); };
  CHECK(code(folder.Path("absent")) == absl::StatusCode::kNotFound);
  CHECK(code(folder.Path("")) == absl::StatusCode::kFailedPrecondition);
  CHECK(code("/dev/zero") == absl::StatusCode::kFailedPrecondition);
  CHECK(code(std::string("a\0b", 3)) == absl::StatusCode::kInvalidArgument);
  CHECK(code(std::string(5000, 'n')) == absl::StatusCode::kFailedPrecondition);
  REQUIRE(mkfifo(folder.Path("fifo").c_str(), 0600) == 0);
  CHECK_THAT(std::string(MappedFile::Open(folder.Path("fifo")).status().message()), Contains("found a FIFO"));
  std::filesystem::create_symlink("loop", folder.Path("loop"));
  CHECK(code(folder.Path("loop")) == absl::StatusCode::kFailedPrecondition);
  CHECK(ReadSmallFile(folder.Path("fifo"), 10).status().code() == absl::StatusCode::kFailedPrecondition);
  CHECK(ReadSmallFile("/dev/zero", 10).status().code() == absl::StatusCode::kFailedPrecondition);
}

TEST_CASE("small file: read whole up to its cap") {
  const Folder folder;
  const std::string path = folder.Write("a", "0123456789");
  CHECK(ReadSmallFile(path, 10).value() == "0123456789");
  const absl::Status status = ReadSmallFile(path, 9).status();
  CHECK(status.code() == absl::StatusCode::kFailedPrecondition);
  CHECK_THAT(std::string(status.message()), Contains("at most 9 bytes"));
}

}  // namespace
}  // namespace guildhall
