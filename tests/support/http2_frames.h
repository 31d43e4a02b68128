// HTTP/2 and gRPC as bytes (RFC 9113, RFC 7541), for tests that send what no library would.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace guildhall::http2 {

enum class FrameType : uint8_t {
  kData = 0,
  kHeaders = 1,
  kPriority = 2,
  kReset = 3,
  kSettings = 4,
  kPushPromise = 5,
  kPing = 6,
  kGoAway = 7,
  kWindowUpdate = 8,
  kContinuation = 9,
};

// Flags: of DATA and HEADERS; of SETTINGS and PING; of HEADERS and CONTINUATION.
constexpr uint8_t kEndStream = 1;
constexpr uint8_t kAck = 1;
constexpr uint8_t kEndHeaders = 4;

// Error codes of RST_STREAM and GOAWAY.
constexpr uint32_t kNoError = 0;
constexpr uint32_t kRefusedStream = 7;
constexpr uint32_t kCancel = 8;
constexpr uint32_t kEnhanceYourCalm = 11;

// Settings.
constexpr uint16_t kHeaderTableSize = 1;
constexpr uint16_t kMaxConcurrentStreams = 3;
constexpr uint16_t kInitialWindowSize = 4;
constexpr uint16_t kMaxHeaderListSize = 6;

// What a peer takes without having said so.
constexpr size_t kFramePayload = 16384;
constexpr int64_t kInitialWindow = 65535;

using Field = std::pair<std::string, std::string>;
using Fields = std::vector<Field>;

// The first 24 bytes of a client.
constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

std::string Frame(FrameType type, uint8_t flags, uint32_t stream, std::string_view payload = {});
std::string Settings(const std::vector<std::pair<uint16_t, uint32_t>>& settings = {});
std::string SettingsAck();
std::string Ping(std::string_view eight_bytes = "guildhal");
std::string Reset(uint32_t stream, uint32_t error);
std::string WindowUpdate(uint32_t stream, uint32_t bytes);
// HEADERS, and CONTINUATION for what does not fit into one frame.
std::string Headers(uint32_t stream, std::string_view block, bool end_stream = false);

// A block of literals that are neither indexed nor Huffman-coded.
std::string HeaderBlock(const Fields& fields);
// What begins a call, METHOD as in "/guildhall.v1.Inference/Generate"; `more` is its metadata.
Fields CallFields(std::string_view method, const Fields& more = {});
// gRPC's five bytes before a message.
std::string Message(std::string_view bytes, bool compressed = false);

// Big-endian numbers.
std::string Number(uint32_t value);
uint32_t ReadNumber(std::string_view bytes);

}  // namespace guildhall::http2
