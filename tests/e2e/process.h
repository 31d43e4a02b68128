// Child processes of the end-to-end tests: the real binary, on Unix sockets in a folder of its own.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "tests/support/temp_folder.h"

namespace guildhall {

// The binary of this build; over the emulated device, where tests run on that
// (tests/support/test_backends.h).
std::string GuildhallBinary();

struct Finished {
  int exit_code = -1;  // 128 + signal when it was killed
  std::string out, err;
};

// Runs to its end. `environment` entries are NAME=VALUE beside those of this process.
Finished RunCommand(const std::vector<std::string>& arguments,
                    const std::vector<std::string>& environment = {});

// A server on the demo model. Its listeners are unix:FOLDER/inference and unix:FOLDER/admin.
class ServerProcess {
 public:
  // On the device of the tests. `settings` are KEY=VALUE of --set. Returns when readiness is SERVING; ends
  // the test program if that takes 120 s.
  explicit ServerProcess(const std::vector<std::string>& settings = {});
  ~ServerProcess();  // kills it if it still runs
  ServerProcess(const ServerProcess&) = delete;
  ServerProcess& operator=(const ServerProcess&) = delete;

  std::string address() const { return "unix:" + folder_.path() + "/inference"; }
  std::string admin_address() const { return "unix:" + folder_.path() + "/admin"; }

  void Signal(int signal) const;
  // Waits for its end; the exit code.
  int Wait();
  // What it has written so far.
  std::string Log() const;

 private:
  TempFolder folder_;
  pid_t pid_ = -1;
};

}  // namespace guildhall
