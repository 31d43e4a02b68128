#include "server/http/generate_answer.h"

#include <limits>
#include <utility>

#include "absl/time/clock.h"
#include "base/str_cat.h"
#include "server/guarded.h"
#include "server/http/error_answer.h"

namespace guildhall {
namespace {

// Choices of one request that the engine has at a time.
constexpr size_t kChoicesAtOnce = 16;
// Of a token's log-probability, as a value and as a tree of JSON.
constexpr uint64_t kLogprobBytes = 640;
// Tokens of an answer where nobody says how many.
constexpr int64_t kCompletionTokens = 16;
constexpr int64_t kWhatFits = std::numeric_limits<int64_t>::max();
constexpr char kComment[] = ": ping\n\n";
constexpr char kDone[] = "data: [DONE]\n\n";

// What a whole answer takes for what a message says, until it is sent.
uint64_t KeptBytes(const v1::GenerateResponse& message) {
  uint64_t logprobs = 0;
  const auto& tokens = message.has_prompt() ? message.prompt().logprobs() : message.chunk().logprobs();
  for (const v1::Logprob& token : tokens) logprobs += 1 + static_cast<uint64_t>(token.top_size());
  return 4 * message.chunk().text().size() + kLogprobBytes * logprobs;
}

}  // namespace

// A choice's Generate call. Gone when that is.
class GenerateAnswer::Sink final : public GenerateSink, public Call {
 public:
  Sink(std::shared_ptr<GenerateAnswer> answer, size_t index) : answer_(std::move(answer)), index_(index) {}

  void Write(const v1::GenerateResponse& message, std::function<void(bool)> sent) override {
    answer_->OnMessage(index_, message, std::move(sent));
  }
  void Finish(const absl::Status& status) override { answer_->OnFinish(index_, status); }

  absl::Time deadline() const override { return absl::InfiniteFuture(); }
  bool cancelled() const override { return answer_->cancelled_ || answer_->call_->cancelled(); }
  void Cancel() override { answer_->call_->Cancel(); }
  void OnCancelled(std::function<void()> listener) override {
    answer_->SetListener(index_, listener);
    if (cancelled()) listener();
  }
  std::string peer() const override { return answer_->call_->peer(); }
  std::optional<std::string> authorization() const override { return answer_->call_->authorization(); }

 private:
  const std::shared_ptr<GenerateAnswer> answer_;
  const size_t index_;
};

GenerateAnswer::GenerateAnswer(std::shared_ptr<HttpCall> call, ApiRequest request,
                               std::shared_ptr<const Deployment> deployment, const Room& room)
    : call_(std::move(call)),
      request_(std::move(request)),
      deployment_(std::move(deployment)),
      room_(room),
      listeners_(request_.choices()),
      charge_(*deployment_->request_memory) {
  names_.kind = request_.kind;
  names_.id = StrCat(request_.kind == ApiKind::kChat ? "chatcmpl-" : "cmpl-", call_->request().id);
  names_.model = request_.model;
  names_.created = absl::ToUnixSeconds(absl::Now());
  for (size_t i = 0; i < request_.choices(); ++i) choices_.emplace_back(request_, i);
}

void GenerateAnswer::Begin() {
  call_->OnCancelled([weak = weak_from_this()] {
    if (const auto answer = weak.lock()) answer->CancelChoices();
  });
  {
    const std::lock_guard lock(mutex_);
    launching_ = true;
  }
  Launch();
}

// In order. What shares a prompt waits until that is read: the others find it in the prefix cache.
bool GenerateAnswer::CanLaunch() const {
  if (launched_ == choices_.size() || open_ >= kChoicesAtOnce || cancelled_ || !failure_.ok()) return false;
  const size_t of_prompt = launched_ % static_cast<size_t>(request_.n);
  return of_prompt == 0 || choices_[launched_ - of_prompt].begun();
}

void GenerateAnswer::Launch() {
  const int64_t length = request_.kind == ApiKind::kChat ? kWhatFits : kCompletionTokens;
  while (true) {
    size_t index = 0;
    {
      const std::lock_guard lock(mutex_);
      launching_ = CanLaunch();
      if (!launching_) break;
      index = launched_++;
      ++open_;
    }
    const absl::Status begun = Guarded([&] {
      auto sink = std::make_unique<Sink>(shared_from_this(), index);
      Call& call = *sink;
      room_.generate.Start(choices_[index].Request(), call, std::move(sink), length);
      return absl::OkStatus();
    });
    if (!begun.ok()) OnFinish(index, begun);
  }
  EndIfOver();
}

// From threads that must not wait.
void GenerateAnswer::LaunchMore() {
  {
    const std::lock_guard lock(mutex_);
    if (launching_ || !CanLaunch()) return;
    launching_ = true;
  }
  absl::Status refused = room_.threads.Run([self = shared_from_this()] { self->Launch(); });
  if (refused.ok()) return;
  {
    const std::lock_guard lock(mutex_);
    launching_ = false;
  }
  Fail(std::move(refused));
}

void GenerateAnswer::SetListener(size_t index, std::function<void()> listener) {
  const std::lock_guard lock(mutex_);
  listeners_[index] = std::move(listener);
}

void GenerateAnswer::CancelChoices() {
  cancelled_ = true;
  std::vector<std::function<void()>> listeners;
  {
    const std::lock_guard lock(mutex_);
    listeners = listeners_;
  }
  for (const auto& listener : listeners) {
    if (listener) listener();
  }
}

void GenerateAnswer::Fail(absl::Status status) {
  {
    const std::lock_guard lock(mutex_);
    failure_.Update(std::move(status));
  }
  CancelChoices();
}

std::string GenerateAnswer::Event(Choice& choice, const v1::GenerateResponse& message) {
  if (!choice.Says(message)) return "";
  Json event = AnswerObject(names_, /*chunk=*/true);
  event["choices"].push_back(choice.Piece(message));
  if (request_.continuous_usage) {
    event["usage"] = UsageJson(Usage());
  } else if (request_.include_usage) {
    event["usage"] = nullptr;
  }
  if (message.has_end()) AddServed(message.end(), event);
  return EventText(event);
}

// With the first that a choice says: what is wrong before is an answer of its own.
void GenerateAnswer::BeginStream() {
  if (std::exchange(streams_, true)) return;
  call_->AddHeader("cache-control", "no-cache");
  call_->AddHeader("x-accel-buffering", "no");
  call_->BeginStream("text/event-stream; charset=utf-8", kComment, room_.comment);
}

void GenerateAnswer::OnMessage(size_t index, const v1::GenerateResponse& message,
                               std::function<void(bool)> sent) {
  absl::Status kept;
  {
    const std::lock_guard lock(mutex_);
    Choice& choice = choices_[index];
    choice.Take(message);
    if (!request_.stream) kept = charge_.Add(KeptBytes(message));
    if (request_.stream && failure_.ok()) {
      BeginStream();
      std::string event = Event(choice, message);
      if (!event.empty()) queue_.push_back({std::move(event), std::exchange(sent, nullptr)});
    }
  }
  if (!kept.ok()) Fail(kept);
  Pump();
  if (sent) sent(!call_->cancelled());
  LaunchMore();
}

// Sends what waits, one piece at a time. What is told may ask for the next at once, on this thread.
void GenerateAnswer::Pump() {
  std::string text;
  {
    const std::lock_guard lock(mutex_);
    if (sending_ || queue_.empty()) return;
    sending_ = true;
    text = std::move(queue_.front().text);
  }
  call_->Send(text, [self = shared_from_this()](bool taken) { self->Sent(taken); });
}

void GenerateAnswer::Sent(bool taken) {
  std::function<void(bool)> sent;
  {
    const std::lock_guard lock(mutex_);
    sent = std::move(queue_.front().sent);
    queue_.pop_front();
    sending_ = false;
  }
  if (sent) sent(taken);
  Pump();
  EndIfOver();
}

void GenerateAnswer::OnFinish(size_t index, const absl::Status& status) {
  if (!status.ok()) {
    const bool first = [&] {
      const std::lock_guard lock(mutex_);
      return failure_.ok();
    }();
    if (first) Fail(InTermsOf(choices_[index].prompt().names, status));
  }
  {
    const std::lock_guard lock(mutex_);
    listeners_[index] = nullptr;
    --open_;
  }
  LaunchMore();
  EndIfOver();
}

void GenerateAnswer::AddServed(const v1::GenerateEnd& end, Json& answer) const {
  if (end.adapters_size() > 0) answer["adapters"] = AdaptersJson(end);
  if (request_.metrics) answer["metrics"] = MetricsJson(end);
}

UsageSum GenerateAnswer::Usage() const {
  UsageSum sum;
  for (const Choice& choice : choices_) {
    const UsageSum one = choice.Usage();
    sum.prompt += one.prompt;
    sum.cached += one.cached;
    sum.output += one.output;
  }
  return sum;
}

std::string GenerateAnswer::LastEvents() {
  if (!failure_.ok()) return StrCat("data: ", MakeErrorAnswer(failure_).body, "\n\n");
  std::string text;
  if (request_.include_usage) {
    Json event = AnswerObject(names_, /*chunk=*/true);
    event["usage"] = UsageJson(Usage());
    text = EventText(event);
  }
  return text + kDone;
}

std::string GenerateAnswer::Whole() {
  Json answer = AnswerObject(names_, /*chunk=*/false);
  for (Choice& choice : choices_) answer["choices"].push_back(choice.Whole());
  answer["usage"] = UsageJson(Usage());
  AddServed(choices_.front().end(), answer);
  return DumpJson(answer);
}

// Once all choices have ended and what they said is sent.
void GenerateAnswer::EndIfOver() {
  {
    const std::lock_guard lock(mutex_);
    const bool all = launched_ == choices_.size() || cancelled_ || !failure_.ok();
    if (!all || open_ > 0 || launching_ || sending_ || !queue_.empty() || answered_) return;
    answered_ = true;
  }
  const absl::Status answered = Guarded([this] {
    Answer();
    return absl::OkStatus();
  });
  if (!answered.ok()) call_->End(false);
}

void GenerateAnswer::Answer() {
  if (call_->cancelled()) return call_->End(false);
  if (streams_) {
    return call_->Send(LastEvents(), [self = shared_from_this()](bool taken) { self->call_->End(taken); });
  }
  if (!failure_.ok()) return call_->RespondError(failure_);
  call_->Respond(200, "application/json", Whole());
}

}  // namespace guildhall
