#include "tests/cuda_emulation/kernel_name.h"

#include <cxxabi.h>
#include <elf.h>
#include <link.h>
#include <sys/mman.h>

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "tests/cuda_emulation/report.h"

namespace guildhall::emulation {
namespace {

// Where the program was loaded: what its symbols' values count from.
uintptr_t LoadAddress() {
  uintptr_t address = 0;
  dl_iterate_phdr(
      [](dl_phdr_info* info, size_t, void* to) {
        *static_cast<uintptr_t*>(to) = info->dlpi_addr;
        return 1;  // the first is the program
      },
      &address);
  return address;
}

// "void guildhall::cuda::(anonymous namespace)::Product<float>(X const*, int)" -> "Product<float>".
std::string ShortName(const std::string& full) {
  size_t depth = 0, end = full.size(), begin = 0;
  for (size_t i = full.size(); i-- > 0;) {
    const char c = full[i];
    if (c == ')' || c == '>') ++depth;
    if (c == '(' || c == '<') --depth;
    if (c == '(' && depth == 0 && end == full.size()) end = i;
    if (depth == 0 && i < end && (c == ' ' || c == ':')) {
      begin = i + 1;
      break;
    }
  }
  return full.substr(begin, end - begin);
}

std::string Demangled(const char* symbol) {
  int status = 0;
  const std::unique_ptr<char, void (*)(void*)> name(abi::__cxa_demangle(symbol, nullptr, nullptr, &status),
                                                    std::free);
  return status == 0 ? ShortName(name.get()) : symbol;
}

// Names of all functions of this program by address.
std::unordered_map<uintptr_t, std::string> ReadSymbols() {
  std::ifstream file("/proc/self/exe", std::ios::binary);
  const std::vector<char> bytes{std::istreambuf_iterator<char>(file), {}};
  std::unordered_map<uintptr_t, std::string> names;
  const uintptr_t load_address = LoadAddress();
  const auto* const header = reinterpret_cast<const Elf64_Ehdr*>(bytes.data());
  const auto* const sections = reinterpret_cast<const Elf64_Shdr*>(bytes.data() + header->e_shoff);
  for (size_t i = 0; i < header->e_shnum; ++i) {
    if (sections[i].sh_type != SHT_SYMTAB) continue;
    const char* const texts = bytes.data() + sections[sections[i].sh_link].sh_offset;
    const auto* const symbols = reinterpret_cast<const Elf64_Sym*>(bytes.data() + sections[i].sh_offset);
    for (size_t s = 0; s < sections[i].sh_size / sizeof(Elf64_Sym); ++s) {
      if (ELF64_ST_TYPE(symbols[s].st_info) != STT_FUNC) continue;
      names.emplace(load_address + symbols[s].st_value, texts + symbols[s].st_name);
    }
  }
  return names;
}

}  // namespace

std::string KernelName(const void* kernel) {
  static std::mutex mutex;
  static auto* const found = new std::unordered_map<const void*, std::string>;
  static auto* const symbols = new std::unordered_map<uintptr_t, std::string>(ReadSymbols());
  const std::lock_guard lock(mutex);
  const auto [name, is_new] = found->try_emplace(kernel);
  if (is_new) {
    const auto symbol = symbols->find(reinterpret_cast<uintptr_t>(kernel));
    name->second = symbol != symbols->end() ? Demangled(symbol->second.c_str()) : AddressText(kernel);
  }
  return name->second;
}

}  // namespace guildhall::emulation
