// What the client commands show to people.
#include <catch2/catch.hpp>

#include "base/format_bytes.h"
#include "client/adapter_text.h"
#include "client/listener_text.h"
#include "client/table.h"
#include "client/task_put.h"

namespace guildhall {

TEST_CASE("sizes and times are written as people say them") {
  CHECK(FormatBytes(0) == "0 B");
  CHECK(FormatBytes(1023) == "1023 B");
  CHECK(FormatBytes(1024) == "1.0 KiB");
  CHECK(FormatBytes(uint64_t{3} << 19) == "1.5 MiB");
  CHECK(FormatBytes(uint64_t{5} << 30) == "5.0 GiB");
  google::protobuf::Timestamp time;
  CHECK(AgoText(time, 1000.0).empty());
  time.set_seconds(1000);
  CHECK(AgoText(time, 1003.2) == "3 s ago");
  CHECK(AgoText(time, 1120.0) == "2 min ago");
  CHECK(AgoText(time, 1000.0 + 5 * 3600) == "5 h ago");
  CHECK(AgoText(time, 1000.0 + 3 * 86400) == "3 d ago");
  CHECK(AgoText(time, 900.0) == "0 s ago");  // two clocks differ
}

TEST_CASE("tables have columns as wide as their content, and one line per row") {
  Table table({{"NAME"}, {"N", true}, {"TEXT"}});
  table.Add({"a\xc3\xa4", "1", "x\ny"});
  table.Add({"long", "100", ""});
  CHECK(table.Text() == "NAME    N  TEXT\na\xc3\xa4      1  x y\nlong  100  -\n");
}

TEST_CASE("an adapter's line says state, tier, readers and tasks, the budget is one line") {
  v1::ListAdaptersResponse list;
  v1::AdapterInfo& adapter = *list.add_adapters();
  adapter.set_name("math");
  adapter.set_version(3);
  adapter.set_state(v1::AdapterInfo::STATE_LOADING);
  adapter.set_progress(0.5);
  adapter.set_tier(v1::AdapterInfo::TIER_DISK);
  adapter.add_tasks("sums");
  const std::string text = AdapterTable(list.adapters());
  CHECK_THAT(text, Catch::Contains("math") && Catch::Contains("loading 50 %") && Catch::Contains("disk") &&
                       Catch::Contains("sums"));
  v1::MemoryBudget budget;
  budget.set_total(uint64_t{64} << 20);
  budget.set_kv_cache(uint64_t{32} << 20);
  budget.set_adapters(uint64_t{8} << 20);
  CHECK(BudgetText(budget) ==
        "budget   64.0 MiB: KV cache 32.0 MiB, adapters 8.0 MiB (0 B pinned), free 24.0 MiB\n");
}

TEST_CASE("a listener's line says who is there, who came, and who was turned away for what") {
  v1::GetStatusResponse status;
  v1::ListenerStatus& listener = *status.add_listeners();
  listener.set_name("requests");
  listener.set_connections(3);
  listener.set_connections_most(1024);
  listener.set_accepted_connections(50);
  listener.set_refused_connections(4);
  listener.set_accept_failures(5);
  listener.set_idle_connections_closed(6);
  listener.set_hostile_connections_closed(7);
  listener.set_calls(8);
  listener.set_refused_calls(9);
  listener.set_reset_calls(10);
  CHECK(ListenerTable(status.listeners()) ==
        "LISTENER  CONNECTIONS  ACCEPTED  REFUSED  NOT ACCEPTED  CLOSED IDLE  CLOSED HOSTILE  CALLS  "
        "CALLS REFUSED  CALLS RESET\n"
        "requests    3 of 1024        50        4             5            6               7      8  "
        "            9           10\n");
}

TEST_CASE("the flags of tasks put become the definition, and nothing that was not said") {
  TaskPutFlags flags;
  flags.id = "t";
  flags.adapters = {"math", "tone=0.5"};
  flags.temperature = 0.0f;
  const v1::TaskDefinition task = TaskOf(flags);
  REQUIRE(task.adapters_size() == 2);
  CHECK(task.adapters(0).name() == "math");
  CHECK_FALSE(task.adapters(0).has_scale());
  CHECK(task.adapters(1).name() == "tone");
  CHECK(task.adapters(1).scale() == 0.5f);
  CHECK(task.sampling().has_temperature());
  CHECK_FALSE(task.sampling().has_top_p());
  CHECK_FALSE(task.has_weight());
  CHECK(AdapterUsesText(task.adapters()) == "math, tone:0.5");
}

}  // namespace guildhall
