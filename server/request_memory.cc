#include "server/request_memory.h"

#include <algorithm>

namespace guildhall {

uint64_t MessageBytes(const google::protobuf::Message& message) {
  return static_cast<uint64_t>(message.SpaceUsedLong());
}

uint64_t TextWorkBytes(const google::protobuf::Message& message) {
  return kBytesPerTextByte * static_cast<uint64_t>(message.ByteSizeLong());
}

uint64_t RunningBytes(const Request& request, int64_t stream_capacity) {
  const SamplingParams& sampling = request.sampling;
  const auto top =
      static_cast<uint64_t>(std::max(sampling.top_logprobs, 0)) * sizeof(std::pair<int32_t, float>);
  const auto prompt = static_cast<uint64_t>(request.prompt.size());
  const auto output = static_cast<uint64_t>(std::max(sampling.max_tokens, 0));
  uint64_t bytes = sizeof(Request) + request.cache_salt.size();
  bytes += (sampling.suppress_tokens.size() + sampling.begin_suppress_tokens.size()) * sizeof(int32_t);
  for (const auto& word : sampling.bad_words) bytes += sizeof(word) + word.size() * sizeof(int32_t);
  bytes += (2 * prompt + output) * sizeof(int32_t);  // the request's own and the sequence's
  bytes += std::min(output, static_cast<uint64_t>(stream_capacity)) * (sizeof(TokenEvent) + top);
  if (sampling.prompt_logprobs) bytes += prompt * (sizeof(TokenLogprob) + top);
  return bytes;
}

}  // namespace guildhall
