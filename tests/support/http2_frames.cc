#include "tests/support/http2_frames.h"

#include "base/check.h"

namespace guildhall::http2 {
namespace {

void AppendByte(std::string& bytes, uint32_t value) {
  bytes.push_back(static_cast<char>(value & 0xff));
}

// RFC 7541, 5.1 with a prefix of seven bits, and 5.2 without Huffman.
void AppendString(std::string& block, std::string_view text) {
  size_t rest = text.size();
  if (rest < 127) {
    AppendByte(block, static_cast<uint32_t>(rest));
  } else {
    AppendByte(block, 127);
    for (rest -= 127; rest >= 128; rest >>= 7) AppendByte(block, static_cast<uint32_t>(rest & 127) | 128);
    AppendByte(block, static_cast<uint32_t>(rest));
  }
  block += text;
}

}  // namespace

std::string Number(uint32_t value) {
  std::string bytes;
  for (int shift = 24; shift >= 0; shift -= 8) AppendByte(bytes, value >> shift);
  return bytes;
}

uint32_t ReadNumber(std::string_view bytes) {
  uint32_t value = 0;
  for (const char byte : bytes) value = value << 8 | static_cast<uint8_t>(byte);
  return value;
}

std::string Frame(FrameType type, uint8_t flags, uint32_t stream, std::string_view payload) {
  std::string frame = Number(static_cast<uint32_t>(payload.size())).substr(1);
  AppendByte(frame, static_cast<uint32_t>(type));
  AppendByte(frame, flags);
  return frame.append(Number(stream)).append(payload);
}

std::string Settings(const std::vector<std::pair<uint16_t, uint32_t>>& settings) {
  std::string payload;
  for (const auto& [id, value] : settings) payload += Number(id).substr(2) + Number(value);
  return Frame(FrameType::kSettings, 0, 0, payload);
}

std::string SettingsAck() {
  return Frame(FrameType::kSettings, kAck, 0);
}

std::string Ping(std::string_view eight_bytes) {
  GH_CHECK_EQ(eight_bytes.size(), size_t{8});
  return Frame(FrameType::kPing, 0, 0, eight_bytes);
}

std::string Reset(uint32_t stream, uint32_t error) {
  return Frame(FrameType::kReset, 0, stream, Number(error));
}

std::string WindowUpdate(uint32_t stream, uint32_t bytes) {
  return Frame(FrameType::kWindowUpdate, 0, stream, Number(bytes));
}

std::string Headers(uint32_t stream, std::string_view block, bool end_stream) {
  std::string frames;
  FrameType type = FrameType::kHeaders;
  do {
    const std::string_view part = block.substr(0, kFramePayload);
    block.remove_prefix(part.size());
    uint8_t flags = block.empty() ? kEndHeaders : 0;
    if (end_stream && type == FrameType::kHeaders) flags |= kEndStream;
    frames += Frame(type, flags, stream, part);
    type = FrameType::kContinuation;
  } while (!block.empty());
  return frames;
}

std::string HeaderBlock(const Fields& fields) {
  std::string block;
  for (const auto& [name, value] : fields) {
    AppendByte(block, 0);
    AppendString(block, name);
    AppendString(block, value);
  }
  return block;
}

Fields CallFields(std::string_view method, const Fields& more) {
  Fields fields{{":method", "POST"},         {":scheme", "http"}, {":path", std::string(method)},
                {":authority", "guildhall"}, {"te", "trailers"},  {"content-type", "application/grpc"}};
  fields.insert(fields.end(), more.begin(), more.end());
  return fields;
}

std::string Message(std::string_view bytes, bool compressed) {
  std::string message;
  AppendByte(message, compressed ? 1 : 0);
  return message.append(Number(static_cast<uint32_t>(bytes.size()))).append(bytes);
}

}  // namespace guildhall::http2
