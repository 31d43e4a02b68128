// Generate by a front end that is none: no transport, no socket.
#pragma once

#include <atomic>
#include <catch2/catch.hpp>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "server/generate_call.h"
#include "tests/server/fixture.h"

namespace guildhall {

class PlainCall final : public Call {
 public:
  absl::Time deadline() const override {
    if (on_look_) on_look_();
    return deadline_;
  }
  bool cancelled() const override { return cancelled_; }
  void Cancel() override {
    cancelled_ = true;
    std::function<void()> listener;
    {
      const std::lock_guard lock(mutex_);
      listener = listener_;
    }
    if (listener) listener();
  }
  void OnCancelled(std::function<void()> listener) override {
    {
      const std::lock_guard lock(mutex_);
      listener_ = listener;
    }
    if (cancelled_) listener();
  }
  std::string peer() const override { return "nobody"; }
  std::optional<std::string> authorization() const override { return authorization_; }

  absl::Time deadline_ = absl::InfiniteFuture();
  std::optional<std::string> authorization_;
  std::function<void()> on_look_;  // at the deadline

 private:
  std::atomic<bool> cancelled_{false};
  std::mutex mutex_;
  std::function<void()> listener_;
};

// One call and what it was answered. The transport is `takes`: it says whether the client is still there.
class Answered {
 public:
  using Takes = std::function<bool(const v1::GenerateResponse&)>;
  explicit Answered(Takes takes = {}) : takes_(std::move(takes)) {}

  void Start(GenerateCalls& calls, const v1::GenerateRequest& request) {
    calls.Start(request, call, std::make_unique<Sink>(*this));
  }
  absl::Status End() { return end_.get(); }
  absl::Status Run(GenerateCalls& calls, const v1::GenerateRequest& request) {
    Start(calls, request);
    return End();
  }

  PlainCall call;
  // Takes the messages instead, now or later, on any thread.
  std::function<void(std::function<void(bool)> sent)> transport;
  std::vector<v1::GenerateResponse> messages;  // for who has seen the end, and for `takes`

 private:
  class Sink final : public GenerateSink {
   public:
    explicit Sink(Answered& answered) : answered_(answered) {}
    void Write(const v1::GenerateResponse& message, std::function<void(bool)> sent) override {
      answered_.messages.push_back(message);
      if (answered_.transport) return answered_.transport(std::move(sent));
      sent(!answered_.takes_ || answered_.takes_(message));
    }
    void Finish(const absl::Status& status) override {
      // `answered_` may be gone as soon as it is told.
      const std::shared_ptr<std::promise<absl::Status>> ended = answered_.ended_;
      ended->set_value(status);
    }

   private:
    Answered& answered_;
  };

  const Takes takes_;
  const std::shared_ptr<std::promise<absl::Status>> ended_ = std::make_shared<std::promise<absl::Status>>();
  std::future<absl::Status> end_ = ended_->get_future();
};

// A server without listeners.
class Calls {
 public:
  explicit Calls(ScriptedModel::Options options = {}, const ServerConfig& config = TestConfig())
      : model_(std::move(options)) {
    DeployedModel deployed;
    deployed.model = &model_;
    auto deployment = Deploy(config, DemoText(), std::move(deployed));
    REQUIRE(deployment.ok());
    state.Publish(*std::move(deployment));
  }

  bool Idle() const {
    const EngineStatus status = state.deployment()->engine->Status();
    return streams.open() == 0 && status.kv_blocks_free == status.kv_blocks;
  }

 private:
  ScriptedModel model_;

 public:
  ServerState state;
  OpenStreams streams{64};
  GenerateCalls generate{state, streams};
};

}  // namespace guildhall
