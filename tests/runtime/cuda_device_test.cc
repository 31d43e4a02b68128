// A model on a device that has too little memory, or that fails: what is said, who ends, who is served on.
#include <cuda.h>
#include <catch2/catch.hpp>

#include "adapters/adapter_folder.h"
#include "runtime/base_model.h"
#include "tests/cuda_emulation/emulated_device.h"
#include "tests/engine/answers.h"
#include "tests/support/golden.h"

namespace guildhall {
namespace {

using absl::StatusCode;
using Catch::Contains;
using emulation::EmulatedDevice;

BaseModelOptions OptionsOf(const std::string& directory, const std::string& device = "cuda") {
  BaseModelOptions options;
  options.path = directory;
  options.checkpoint.max_positions = 256;
  options.backend.device = device;
  options.kv_budget = "48MiB";
  return options;
}

TEST_CASE("A model that does not fit on a device is refused with the sum, and auto takes the CPU") {
  const std::string folder = LoadGolden("olmoe_f32").directory;
  EmulatedDevice::Configure({.devices = {{.memory_bytes = size_t{64} << 10}}});
  const absl::Status refused = LoadBaseModel(OptionsOf(folder)).status();
  CHECK(refused.code() == StatusCode::kResourceExhausted);
  CHECK_THAT(std::string(refused.message()),
             Contains("weights ") && Contains(" + step ") && Contains(" + the smallest KV cache ") &&
                 Contains("64.0 KiB are available (free on emulated device 0 (cuda:0))") &&
                 Contains("another device"));
  CHECK(EmulatedDevice::LivePieces() == 0);
  const auto model = LoadBaseModel(OptionsOf(folder, "auto"));
  REQUIRE(model.ok());
  CHECK_THAT(model->backend->layout(), Catch::StartsWith("cpu/"));
}

TEST_CASE("A device that has room is what auto takes") {
  EmulatedDevice::Configure({});
  const auto model = LoadBaseModel(OptionsOf(LoadGolden("olmoe_f32").directory, "auto"));
  REQUIRE(model.ok());
  CHECK_THAT(model->backend->layout(), Catch::StartsWith("cuda/"));
}

TEST_CASE("A load that a device cannot hold fails alone, and leaves nothing") {
  EmulatedDevice::Configure({});
  const AdapterGolden golden = LoadAdapterGolden("esft_deepseek_v2_lite");
  {
    const auto model = LoadBaseModel(OptionsOf(LoadGolden(golden.base).directory));
    REQUIRE(model.ok());
    const auto manager = MakeWeightManager(*model, {});
    const auto load = [&](const std::string& name) {
      LoadRequest request;
      request.name = name;
      request.open = [&] { return OpenAdapterFolder(golden.adapters[0].directory, *model->checkpoint); };
      return manager->Load(request).status();
    };
    REQUIRE(load("first").ok());
    const uint64_t mapped = manager->mapped_bytes();
    const uint64_t charged = model->budget->used(ByteBudget::Holder::kAdapters);
    const struct {
      const char* function;
      int error;
      StatusCode code;
    } cases[] = {{"cuMemMap", CUDA_ERROR_OUT_OF_MEMORY, StatusCode::kResourceExhausted},
                 {"cuMemSetAccess", CUDA_ERROR_OUT_OF_MEMORY, StatusCode::kResourceExhausted},
                 {"cudaMemcpyAsync", cudaErrorUnknown, StatusCode::kInternal},
                 {"copy", cudaErrorUnknown, StatusCode::kInternal},
                 {"cudaMalloc", cudaErrorMemoryAllocation, StatusCode::kResourceExhausted}};
    for (const auto& fault : cases) {
      INFO(fault.function);
      EmulatedDevice::Fail(fault.function, 1, fault.error);
      // What fits between the others' pages maps none: then a load goes well, and is the case's end.
      const absl::Status failed = load("second");
      if (!failed.ok()) {
        CHECK(failed.code() == fault.code);
        CHECK(std::string(failed.message()).find("0x") == std::string::npos);
        CHECK(manager->mapped_bytes() == mapped);
        CHECK(model->budget->used(ByteBudget::Holder::kAdapters) == charged);
      }
      EmulatedDevice::Heal();
      if (!failed.ok()) REQUIRE(load("second").ok());
      REQUIRE(manager->Unload("second", std::nullopt, absl::Seconds(10)).ok());
      CHECK(manager->mapped_bytes() == mapped);
    }
  }
  CHECK(EmulatedDevice::LivePieces() == 0);
}

// The engine over a golden's model, asked for its first greedy continuation.
struct Served {
  Served() : golden(LoadGolden("olmoe_f32")) {
    EmulatedDevice::Configure({});
    auto loaded = LoadBaseModel(OptionsOf(golden.directory));
    REQUIRE(loaded.ok());
    model = *std::move(loaded);
    EngineOptions options = SmallOptions();
    ShareBudget(model, options);
    engine = std::make_unique<Engine>(*model.decoder, options, std::vector<TaskPolicy>{TaskPolicy{}});
    engine->Start();
  }

  std::shared_ptr<Request> NewRequest() const {
    const Golden::Greedy& greedy = golden.greedy.front();
    return MakeRequest(greedy.prompt, Greedy(static_cast<int32_t>(greedy.continuation.size())));
  }
  Answer Ask() {
    const auto request = NewRequest();
    REQUIRE(engine->Submit(request).ok());
    return Collect(*request->stream);
  }

  const Golden golden;
  BaseModel model;
  std::unique_ptr<Engine> engine;
};

TEST_CASE(
    "A kernel or a copy that fails ends the requests of its step, and the next ones get their answers") {
  Served served;
  CHECK(served.Ask().tokens == served.golden.greedy.front().continuation);
  for (const char* what : {"kernel", "copy", "cudaLaunchKernelEx", "cudaMemcpyAsync"}) {
    for (const int nth : {1, 4}) {
      INFO(what << " " << nth);
      EmulatedDevice::Fail(what, nth, cudaErrorUnknown);
      const Answer failed = served.Ask();
      CHECK(failed.end.status.code() == StatusCode::kInternal);
      CHECK(std::string(failed.end.status.message()).find("0x") == std::string::npos);
      EmulatedDevice::Heal();
      CHECK(served.Ask().tokens == served.golden.greedy.front().continuation);
      CHECK(served.engine->Status().healthy);
    }
  }
}

TEST_CASE("A device that is lost ends what runs, and takes nothing new") {
  Served served;
  EmulatedDevice::Fail("kernel", 30, cudaErrorIllegalAddress, /*sticky=*/true);
  CHECK(served.Ask().end.status.code() == StatusCode::kUnavailable);
  CHECK(served.engine->Submit(served.NewRequest()).code() == StatusCode::kUnavailable);
  CHECK(served.engine->Status().device_lost);
  CHECK_FALSE(served.engine->Status().healthy);
  CHECK(served.engine->Drain(absl::Seconds(10)));
  served.engine->Stop();
  EmulatedDevice::Heal();
}

}  // namespace
}  // namespace guildhall
