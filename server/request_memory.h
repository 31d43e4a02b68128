// What a request takes of the account for requests, stage by stage.
#pragma once

#include <cstdint>

#include "base/memory_account.h"
#include "engine/request.h"
#include "guildhall/v1/inference.pb.h"

namespace guildhall {

// While the text of a message is rendered and encoded: bytes for each of its own, for copies and for what the
// tokenizer makes of it on the way.
inline constexpr uint64_t kBytesPerTextByte = 16;

// The message itself, for as long as its call.
uint64_t MessageBytes(const google::protobuf::Message& message);
// While its prompt is made.
uint64_t TextWorkBytes(const google::protobuf::Message& message);
// What server and engine keep of it while it waits and runs: prompt and output tokens, the stream between
// them, log-probabilities.
uint64_t RunningBytes(const Request& request, int64_t stream_capacity);

}  // namespace guildhall
