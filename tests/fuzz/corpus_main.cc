// Runs a fuzz entry without libFuzzer: over every file of the folders given, then over seeded mutations of
// them.
//   PROGRAM MUTATIONS FOLDER...
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

void Run(const std::string& input) {
  LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(input.data()), input.size());
}

std::vector<std::string> ReadCorpus(int count, char** folders) {
  std::vector<std::string> paths, corpus;
  for (int i = 0; i < count; ++i) {
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folders[i])) {
      if (entry.is_regular_file()) paths.push_back(entry.path().string());
    }
  }
  std::sort(paths.begin(), paths.end());  // the same order on every machine: the same mutations
  for (const std::string& path : paths) {
    std::ifstream file(path, std::ios::binary);
    corpus.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  }
  return corpus;
}

class Mutator {
 public:
  explicit Mutator(const std::vector<std::string>& corpus) : corpus_(corpus) {}

  std::string Next() {
    std::string input = Pick(corpus_);
    for (size_t edits = 1 + Below(4); edits > 0; --edits) Edit(input);
    return input;
  }

 private:
  size_t Below(size_t end) { return end == 0 ? 0 : static_cast<size_t>(random_() % end); }
  const std::string& Pick(const std::vector<std::string>& from) { return from[Below(from.size())]; }

  void Edit(std::string& input) {
    static const std::vector<std::string> kTokens = {"0",
                                                     "-1",
                                                     "1e308",
                                                     "1e-308",
                                                     "18446744073709551615",
                                                     "9223372036854775807",
                                                     "4294967296",
                                                     "null",
                                                     "true",
                                                     "[]",
                                                     "{}",
                                                     "\"\"",
                                                     "[[[[",
                                                     "{\"a\":",
                                                     "\\ud800",
                                                     "\xff",
                                                     ",",
                                                     ":",
                                                     "2147483648",
                                                     "0.5",
                                                     "\"yarn\"",
                                                     "\"dynamic\"",
                                                     "NaN",
                                                     std::string(1, '\0')};
    const size_t at = Below(input.size() + 1);
    const size_t length = Below(std::min<size_t>(input.size() - at, 16) + 1);
    switch (Below(7)) {
      case 0:
        if (at < input.size()) input[at] = static_cast<char>(input[at] ^ (1 << Below(8)));
        break;
      case 1:
        input.erase(at, length);
        break;
      case 2:
        input.insert(at, Pick(kTokens));
        break;
      case 3:
        input.replace(at, length, Pick(kTokens));
        break;
      case 4:
        input.insert(at, input.substr(at, length));
        break;
      case 5:
        input.resize(at);
        break;
      case 6:
        ReplaceNumber(input, at, Pick(kTokens));
        break;
    }
  }

  // Values, not digits inside them: the nearest number after `at`.
  static void ReplaceNumber(std::string& input, size_t at, const std::string& token) {
    const size_t begin = input.find_first_of("0123456789", at);
    if (begin == std::string::npos) return;
    const size_t end = std::min(input.find_first_not_of("0123456789.e+-", begin), input.size());
    input.replace(begin, end - begin, token);
  }

  const std::vector<std::string>& corpus_;
  std::mt19937_64 random_{20240607};
};

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: %s MUTATIONS FOLDER...\n", argv[0]);
    return 2;
  }
  const std::vector<std::string> corpus = ReadCorpus(argc - 2, argv + 2);
  if (corpus.empty()) {
    std::fprintf(stderr, "no file in the folders given\n");
    return 2;
  }
  for (const std::string& input : corpus) Run(input);
  Mutator mutator(corpus);
  const int mutations = std::atoi(argv[1]);
  for (int i = 0; i < mutations; ++i) Run(mutator.Next());
  std::printf("%zu inputs and %d mutations: no rule broken\n", corpus.size(), mutations);
  return 0;
}
