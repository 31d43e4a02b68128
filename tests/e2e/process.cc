#include "tests/e2e/process.h"

#include <fcntl.h>
#include <signal.h>
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

pid_t Spawn(const std::vector<std::string>& arguments, const std::vector<std::string>& environment,
            const std::string& out_path, const std::string& err_path) {
  const std::string binary = GuildhallBinary();
  const pid_t pid = fork();
  GH_CHECK_GE(pid, 0);
  if (pid != 0) return pid;
  const int out = open(out_path.c_str(), O_CREAT | O_WRONLY | O_TRUNC, 0600);
  const int err = err_path == out_path ? out : open(err_path.c_str(), O_CREAT | O_WRONLY | O_TRUNC, 0600);
  dup2(out, STDOUT_FILENO);
  dup2(err, STDERR_FILENO);
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

ServerProcess::ServerProcess(const std::vector<std::string>& settings) {
  std::vector<std::string> arguments{"serve", "--config",
                                     std::string(GUILDHALL_SOURCE_DIR) + "/configs/demo.json"};
  for (const std::string& setting : settings) {
    arguments.push_back("--set");
    arguments.push_back(setting);
  }
  std::vector<std::string> own{"server.listen=" + address(), "admin.listen=" + admin_address()};
  if (OnTestDevice()) own.push_back("device=" + DefaultTestBackend().options.device);
  for (const std::string& setting : own) {
    arguments.push_back("--set");
    arguments.push_back(setting);
  }
  const std::string log = folder_.path() + "/log";
  pid_ = Spawn(arguments, {kSmallPages}, log, log);
  for (int tries = 0; tries < 600; ++tries) {
    if (RunCommand({"healthcheck", "--server", address(), "--service", "readiness"}).exit_code == 0) return;
    if (waitpid(pid_, nullptr, WNOHANG) != 0) {
      pid_ = -1;
      break;
    }
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

std::string ServerProcess::Log() const {
  return ReadAll(folder_.path() + "/log");
}

}  // namespace guildhall
