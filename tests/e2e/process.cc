#include "tests/e2e/process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <iterator>

#include "absl/time/clock.h"
#include "base/check.h"
#include "tests/support/test_backends.h"

namespace guildhall {
namespace {

// Of emulated devices, which could have pages of 2 MiB only as real ones do: the demo's adapters are small.
constexpr const char* kSmallPages = "EMULATED_CUDA_PAGE=65536";

std::string ReadAll(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

// What a log says behind the first `words`, up to the next space; empty where it does not say them.
std::string WordAfter(const std::string& log, const std::string& words) {
  const size_t at = log.find(words);
  if (at == std::string::npos) return "";
  const size_t begin = at + words.size(), end = log.find(' ', begin);
  return end == std::string::npos ? "" : log.substr(begin, end - begin);
}

pid_t Spawn(const std::vector<std::string>& arguments, const std::vector<std::string>& environment,
            const std::string& out_path, const std::string& err_path, int max_descriptors = 0) {
  const std::string binary = GuildhallBinary();
  const pid_t pid = fork();
  GH_CHECK_GE(pid, 0);
  if (pid != 0) return pid;
  const int out = open(out_path.c_str(), O_CREAT | O_WRONLY | O_TRUNC, 0600);
  const int err = err_path == out_path ? out : open(err_path.c_str(), O_CREAT | O_WRONLY | O_TRUNC, 0600);
  dup2(out, STDOUT_FILENO);
  dup2(err, STDERR_FILENO);
  const rlimit limit{static_cast<rlim_t>(max_descriptors), static_cast<rlim_t>(max_descriptors)};
  if (max_descriptors > 0) setrlimit(RLIMIT_NOFILE, &limit);
  unsetenv("GUILDHALL_TEST_DEVICE");  // the tests' own: the program refuses what it does not know
  for (const std::string& entry : environment) putenv(const_cast<char*>(entry.c_str()));
  std::vector<char*> argv{const_cast<char*>(binary.c_str())};
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  execv(binary.c_str(), argv.data());
  _exit(127);
}

int WaitFor(pid_t pid) {
  int status = 0;
  GH_CHECK_EQ(waitpid(pid, &status, 0), pid);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace

std::string GuildhallBinary() {
  return std::string(GUILDHALL_BINARY_DIR) + (OnTestDevice() ? "/bin/guildhall_emulated" : "/bin/guildhall");
}

Finished RunCommand(const std::vector<std::string>& arguments, const std::vector<std::string>& environment) {
  const TempFolder folder;
  const std::string out = folder.path() + "/out", err = folder.path() + "/err";
  Finished finished;
  finished.exit_code = WaitFor(Spawn(arguments, environment, out, err));
  finished.out = ReadAll(out);
  finished.err = ReadAll(err);
  return finished;
}

ServerProcess::ServerProcess(const std::vector<std::string>& settings, const ServerPlace& place)
    : address_("unix:" + folder_.path() + "/inference"), admin_address_("unix:" + folder_.path() + "/admin") {
  if (place.tcp) address_ = admin_address_ = "127.0.0.1:0";
  Start(settings, place);
  if (place.tcp) AwaitAddresses();
  AwaitReadiness();
}

void ServerProcess::Start(const std::vector<std::string>& settings, const ServerPlace& place) {
  std::vector<std::string> arguments{"serve", "--config",
                                     std::string(GUILDHALL_SOURCE_DIR) + "/configs/demo.json"};
  std::vector<std::string> all{"server.listen=" + address_, "admin.listen=" + admin_address_, "http.listen="};
  if (OnTestDevice()) all.push_back("device=" + DefaultTestBackend().options.device);
  all.insert(all.end(), settings.begin(), settings.end());  // of one key the last one counts
  for (const std::string& setting : all) {
    arguments.push_back("--set");
    arguments.push_back(setting);
  }
  std::vector<std::string> variables{kSmallPages};
  variables.insert(variables.end(), place.environment.begin(), place.environment.end());
  const std::string log = folder_.path() + "/log";
  pid_ = Spawn(arguments, variables, log, log, place.max_descriptors);
}

bool ServerProcess::Ended() {
  if (pid_ >= 0 && waitpid(pid_, nullptr, WNOHANG) == 0) return false;
  pid_ = -1;
  return true;
}

void ServerProcess::AwaitAddresses() {
  for (int tries = 0; tries < 1200 && !Ended(); ++tries) {
    const std::string log = Log();
    address_ = WordAfter(log, "requests on ");
    admin_address_ = WordAfter(log, "administration on ");
    if (!address_.empty() && !admin_address_.empty()) return;
    absl::SleepFor(absl::Milliseconds(100));
  }
  CheckFailed(__FILE__, __LINE__, "the server did not listen; its log:\n" + Log());
}

void ServerProcess::AwaitReadiness() {
  for (int tries = 0; tries < 600; ++tries) {
    if (RunCommand({"healthcheck", "--server", address(), "--service", "readiness"}).exit_code == 0) return;
    if (Ended()) break;
    absl::SleepFor(absl::Milliseconds(200));
  }
  CheckFailed(__FILE__, __LINE__, "the server was not ready; its log:\n" + Log());
}

ServerProcess::~ServerProcess() {
  if (pid_ < 0) return;
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
}

void ServerProcess::Signal(int signal) const {
  GH_CHECK_EQ(kill(pid_, signal), 0);
}

int ServerProcess::Wait() {
  const int code = WaitFor(pid_);
  pid_ = -1;
  return code;
}

std::string ServerProcess::http_address() const {
  return WordAfter(Log(), "http on ");
}

std::string ServerProcess::Log() const {
  return ReadAll(folder_.path() + "/log");
}

}  // namespace guildhall
