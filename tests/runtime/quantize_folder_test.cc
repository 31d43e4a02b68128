// Folders of packed weights as they are written: what is copied, and what is left when that fails.
#include "tools/quantize_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <csignal>
#include <filesystem>
#include <fstream>

#include "tests/runtime/small_folder.h"
#include "tests/support/temp_folder.h"
#include "tests/support/test_backends.h"

namespace guildhall {
namespace {

namespace fs = std::filesystem;

void Write(const std::string& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

// By a checkpoint that was opened before anything was wrong with the rest of the folder.
absl::Status Quantize(const std::string& from, const std::string& to) {
  const auto checkpoint = Checkpoint::Open(from);
  if (!checkpoint.ok()) return checkpoint.status();
  const auto backend = DefaultTestBackend().make(1);
  WeightFormats formats;
  formats.experts = WeightFormat::kInt8;
  return QuantizeFolder(**checkpoint, *backend, to, {.formats = formats, .force = false, .tool = "test"}, {})
      .status();
}

}  // namespace

TEST_CASE("a quantized folder is copied under its readers' caps, and a full disk leaves nothing") {
  const TempFolder place;
  fs::create_directory(place / "model");
  for (const auto& [name, text] : SmallModelFiles()) Write(place / "model/" + name, text);
  const std::string out = place / "out";
  const auto alone = [&] { return std::distance(fs::directory_iterator(place.path()), {}) == 1; };
  SECTION("a file that is larger than its reader takes, of which the disk holds nothing") {
    for (const char* name : {"tokenizer.json", "tokenizer_config.json", "chat_template.jinja"}) {
      INFO(name);
      const std::string file = place / "model/" + name;
      Write(file, "");
      fs::resize_file(file, uintmax_t{1} << 40);
      const absl::Status refused = Quantize(place / "model", out);
      CHECK_THAT(std::string(refused.message()), Catch::Contains(name) && Catch::Contains("at most"));
      CHECK(alone());
      fs::remove(file);
    }
  }
  SECTION("what is no file") {
    fs::remove(place / "model/tokenizer.json");
    REQUIRE(mkfifo((place / "model/tokenizer.json").c_str(), 0600) == 0);
    CHECK_THAT(std::string(Quantize(place / "model", out).message()), Catch::Contains("a FIFO"));
    CHECK(alone());
  }
  SECTION("no room for the weights, met after smaller files were written") {
    rlimit old{};
    REQUIRE(getrlimit(RLIMIT_FSIZE, &old) == 0);
    const auto handled = std::signal(SIGXFSZ, SIG_IGN);
    const rlimit small{1024, old.rlim_max};
    REQUIRE(setrlimit(RLIMIT_FSIZE, &small) == 0);
    const absl::Status full = Quantize(place / "model", out);
    REQUIRE(setrlimit(RLIMIT_FSIZE, &old) == 0);
    std::signal(SIGXFSZ, handled);
    CHECK(full.code() == absl::StatusCode::kResourceExhausted);
    CHECK(alone());
  }
  SECTION("what killed writers have left goes, and what a living one writes stays") {
    fs::create_directory(out + ".writing-1");
    Write(out + ".writing-1/weights.packed", "half");
    fs::create_directory(out + ".writing-2");
    fs::create_directory(out + ".writing-mine");
    const int living = open((out + ".writing-2").c_str(), O_RDONLY | O_DIRECTORY);
    REQUIRE(flock(living, LOCK_EX | LOCK_NB) == 0);
    REQUIRE(Quantize(place / "model", out).ok());
    close(living);
    CHECK_FALSE(fs::exists(out + ".writing-1"));
    CHECK(fs::exists(out + ".writing-2"));
    CHECK(fs::exists(out + ".writing-mine"));
    CHECK(fs::exists(out + "/weights.packed"));
  }
}

}  // namespace guildhall
