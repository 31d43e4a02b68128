// Child processes of tests: the real binary, on sockets of its own.
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

struct ServerPlace {
  bool tcp = false;         // ports of loopback that the system chooses, instead of sockets in a folder
  int max_descriptors = 0;  // hard limit of the process; 0: that of the tests
  std::vector<std::string> environment = {};  // NAME=VALUE, beside the tests' own
};

// A server on the demo model. Its listeners are unix:FOLDER/inference and unix:FOLDER/admin, or have ports.
class ServerProcess {
 public:
  // On the device of the tests, if the settings name no other. `settings` are KEY=VALUE of --set. Returns
  // when readiness is SERVING; ends the test program if that takes 120 s.
  explicit ServerProcess(const std::vector<std::string>& settings = {}, const ServerPlace& place = {});
  ~ServerProcess();  // kills it if it still runs
  ServerProcess(const ServerProcess&) = delete;
  ServerProcess& operator=(const ServerProcess&) = delete;

  const std::string& address() const { return address_; }
  const std::string& admin_address() const { return admin_address_; }
  // HOST:PORT of http.listen, where the settings have one.
  std::string http_address() const;
  pid_t pid() const { return pid_; }

  void Signal(int signal) const;
  // Waits for its end; the exit code.
  int Wait();
  // What it has written so far.
  std::string Log() const;

 private:
  bool Ended();  // and nobody has waited for it
  void Start(const std::vector<std::string>& settings, const ServerPlace& place);
  void AwaitAddresses();
  void AwaitReadiness();

  TempFolder folder_;
  std::string address_, admin_address_;
  pid_t pid_ = -1;
};

}  // namespace guildhall
