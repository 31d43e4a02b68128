// One answer of a request: what came of it so far.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "guildhall/v1/inference.pb.h"
#include "server/http/answer_json.h"
#include "server/http/read_request.h"

namespace guildhall {

// Not thread-safe.
class Choice {
 public:
  // The request outlives it.
  Choice(const ApiRequest& request, size_t index);

  size_t index() const { return index_; }
  const ApiPrompt& prompt() const { return request_->prompts[index_ / static_cast<size_t>(request_->n)]; }
  bool first_of_prompt() const { return index_ % static_cast<size_t>(request_->n) == 0; }
  v1::GenerateRequest Request() const;

  // Keeps what the message says, for Whole; a stream's choice keeps counts alone.
  void Take(const v1::GenerateResponse& message);
  // Whether what it says is of use in a stream, and that as one choice of an event.
  bool Says(const v1::GenerateResponse& message) const;
  Json Piece(const v1::GenerateResponse& message);
  // The choice of an answer that is not streamed.
  Json Whole();

  bool begun() const { return begun_; }  // its prompt is read
  bool ended() const { return ended_; }
  const v1::GenerateEnd& end() const { return end_; }
  // So far; with the prompt where it is the prompt's first.
  UsageSum Usage() const;

 private:
  Json Empty() const;
  std::vector<v1::Logprob> LogprobsOf(const v1::GenerateResponse& message) const;

  const ApiRequest* request_;
  size_t index_;
  bool begun_ = false, ended_ = false;
  int64_t prompt_tokens_ = 0, output_tokens_ = 0;
  int64_t offset_ = 0;  // of the next token's text, in characters
  std::string text_;
  std::vector<v1::Logprob> logprobs_;
  v1::GenerateEnd end_;
};

}  // namespace guildhall
