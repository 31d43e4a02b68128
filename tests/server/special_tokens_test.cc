// Special tokens in the text of answers, where a request or its task asks for them.
#include <catch2/catch.hpp>

#include "server/answer_text.h"
#include "server/validate.h"
#include "tests/text/data.h"

namespace guildhall {
namespace {

std::shared_ptr<const Tokenizer> Words() {
  return Tokenizer::Load(text_test::DataPath("tokenizers/metaspace.json")).value();
}

struct Shown {
  std::string text;
  std::optional<std::string> stop;
};

// The answer "the", the special </s>, "are".
Shown Answer(const ValidatedRequest& request) {
  const auto tokenizer = Words();
  AnswerText answer = AnswerText::Create(tokenizer, {}, request).value();
  Shown shown;
  for (const char* token : {"▁the", "</s>", "▁are"}) {
    shown.text += answer.Append(tokenizer->TokenId(token).value()).value();
  }
  shown.text += answer.Finish().value();
  shown.stop = answer.matched();
  return shown;
}

ServedLimits Limits() {
  return MakeServedLimits(LimitsConfig{}, 1000, 4096, 4096);
}

TEST_CASE("special tokens are left out of the text, or shown") {
  ValidatedRequest request;
  CHECK(Answer(request).text == "the are");
  request.skip_special_tokens = false;
  CHECK(Answer(request).text == "the</s> are");
}

TEST_CASE("stop strings are looked for in the text that is shown") {
  ValidatedRequest request;
  request.skip_special_tokens = false;
  request.stop = {"</s> a"};
  const Shown shown = Answer(request);
  CHECK(shown.text == "the");
  CHECK(shown.stop == "</s> a");
}

TEST_CASE("skip_special_tokens of the request wins over the task's, and that over the server's") {
  auto task = std::make_shared<Task>();
  v1::GenerateRequest request;
  request.mutable_token_ids()->add_ids(1);
  const auto skips = [&] { return ValidateGenerate(request, task, Limits(), 1).value().skip_special_tokens; };
  CHECK(skips());
  task->defaults.skip_special_tokens = false;
  CHECK_FALSE(skips());
  request.mutable_sampling()->set_skip_special_tokens(true);
  CHECK(skips());
}

}  // namespace
}  // namespace guildhall
