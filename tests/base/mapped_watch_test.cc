// A mapped file that is cut while it is read.
#include "base/mapped_watch.h"

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <catch2/catch.hpp>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/temp_folder.h"

namespace guildhall {
namespace {

class CutFile {
 public:
  CutFile() {
    std::ofstream(path(), std::ios::binary) << std::string(static_cast<size_t>(kBytes), 'x');
    auto opened = MappedFile::Open(path());
    REQUIRE(opened.ok());
    file_ = std::make_shared<const MappedFile>(*std::move(opened));
  }

  std::string path() const { return folder_ / "weights"; }
  const std::shared_ptr<const MappedFile>& file() const { return file_; }
  void Cut(int64_t bytes) const { std::filesystem::resize_file(path(), static_cast<uintmax_t>(bytes)); }
  int64_t Count(char c, int64_t begin = 0) const {
    const auto bytes = file_->bytes().subspan(static_cast<size_t>(begin));
    return std::count(bytes.begin(), bytes.end(), static_cast<std::byte>(c));
  }

  static constexpr int64_t kPage = 4096, kBytes = 64 * kPage;

 private:
  TempFolder folder_;
  std::shared_ptr<const MappedFile> file_;
};

}  // namespace

TEST_CASE("mapped watch: what is cut off reads as zeros, and the file is named from then on") {
  const CutFile cut;
  auto watch = MappedWatch::Start(cut.file());
  REQUIRE(watch.ok());
  CHECK(cut.Count('x') == CutFile::kBytes);
  cut.Cut(10 * CutFile::kPage);
  CHECK((*watch)->Check().ok());  // nobody has read what is gone
  CHECK(cut.Count('x') == 10 * CutFile::kPage);
  CHECK(cut.Count('\0') == 54 * CutFile::kPage);
  const absl::Status lost = (*watch)->Check();
  CHECK(lost.code() == absl::StatusCode::kDataLoss);
  CHECK_THAT(std::string(lost.message()), Catch::Contains(cut.path()));
  // Nor does it heal.
  cut.Cut(CutFile::kBytes);
  CHECK_FALSE((*watch)->Check().ok());
}

TEST_CASE(
    "mapped watch: threads that meet the cut at once all go on, and a file beside it is not concerned") {
  const CutFile cut, whole;
  auto watch = MappedWatch::Start(cut.file()), other = MappedWatch::Start(whole.file());
  REQUIRE(watch.ok());
  REQUIRE(other.ok());
  cut.Cut(0);
  std::array<int64_t, 8> zeros{};
  std::vector<std::thread> threads;
  for (size_t i = 0; i < zeros.size(); ++i)
    threads.emplace_back([&, i] { zeros[i] = cut.Count('\0', static_cast<int64_t>(i) * CutFile::kPage); });
  for (std::thread& thread : threads) thread.join();
  for (size_t i = 0; i < zeros.size(); ++i)
    CHECK(zeros[i] == CutFile::kBytes - static_cast<int64_t>(i) * CutFile::kPage);
  CHECK_FALSE((*watch)->Check().ok());
  CHECK((*other)->Check().ok());
  CHECK(whole.Count('x') == CutFile::kBytes);
}

TEST_CASE("mapped watch: a fault that is nobody's ends the process as before, and so it is after the watch") {
  const CutFile cut;
  { REQUIRE(MappedWatch::Start(cut.file()).ok()); }
  cut.Cut(0);
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    std::signal(SIGABRT, SIG_DFL);
    _exit(cut.Count('\0') > 0 ? 3 : 4);
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  const bool went_on = WIFEXITED(status) && (WEXITSTATUS(status) == 3 || WEXITSTATUS(status) == 4);
  CHECK_FALSE(went_on);
}

}  // namespace guildhall
