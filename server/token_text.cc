#include "server/token_text.h"

#include <array>
#include <cstdlib>
#include <optional>
#include <string_view>
#include <vector>

namespace guildhall {
namespace {

constexpr std::string_view kReplacement = "\xef\xbf\xbd";
constexpr std::string_view kWordMark = "\xe2\x96\x81";  // U+2581, SentencePiece's space

// Byte-level vocabularies spell each byte as one printable character: the printable bytes of Latin-1 stand
// for themselves, the others for U+0100 and up, in order.
std::array<int, 0x144> ByteOfCharacter() {
  std::array<int, 0x144> bytes;
  bytes.fill(-1);
  int next = 0x100;
  for (int byte = 0; byte < 256; ++byte) {
    const bool printable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
    bytes[static_cast<size_t>(printable ? byte : next++)] = byte;
  }
  return bytes;
}

std::optional<std::string> FromByteLevel(std::string_view spelling) {
  static const std::array<int, 0x144> kBytes = ByteOfCharacter();
  std::string bytes;
  for (size_t i = 0; i < spelling.size(); ++i) {
    const unsigned char first = static_cast<unsigned char>(spelling[i]);
    size_t code = first;
    if (first >= 0x80) {
      if ((first & 0xe0u) != 0xc0u || i + 1 >= spelling.size()) return std::nullopt;
      code = static_cast<size_t>((first & 0x1fu) << 6 | (static_cast<unsigned char>(spelling[++i]) & 0x3fu));
    }
    if (code >= kBytes.size() || kBytes[code] < 0) return std::nullopt;
    bytes += static_cast<char>(kBytes[code]);
  }
  return bytes;
}

// "<0xE2>" of vocabularies with byte fallback.
std::optional<std::string> FromByteFallback(const std::string& spelling) {
  if (spelling.size() != 6 || spelling.compare(0, 3, "<0x") != 0 || spelling.back() != '>')
    return std::nullopt;
  return std::string(1, static_cast<char>(std::strtol(spelling.substr(3, 2).c_str(), nullptr, 16)));
}

}  // namespace

std::string TokenBytes(const Tokenizer* tokenizer, int32_t id) {
  if (tokenizer == nullptr) return "";
  const auto spelling = tokenizer->TokenText(id);
  if (!spelling.ok()) return "";
  if (tokenizer->IsSpecial(id)) return *spelling;
  if (auto byte = FromByteFallback(*spelling)) return *byte;
  const auto decoded = tokenizer->Decode(std::vector<int32_t>{id}, /*skip_special=*/false);
  if (!decoded.ok()) return *spelling;
  // Only a part of a character decodes to the replacement character; the spelling tells which bytes it has.
  if (decoded->find(kReplacement) != std::string::npos) return FromByteLevel(*spelling).value_or(*decoded);
  const bool begins_word = spelling->compare(0, kWordMark.size(), kWordMark) == 0;
  if (begins_word && (decoded->empty() || decoded->front() != ' ')) return " " + *decoded;
  return *decoded;
}

}  // namespace guildhall
