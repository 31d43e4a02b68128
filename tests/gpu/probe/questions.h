// The probe's groups of questions. Each prints facts; each throws where the device fails.
#pragma once

namespace guildhall::probe {

void AskDevice();    // what it is
void AskCopies();    // rates between host and device, and on it
void AskLaunches();  // kernels one by one, and as a graph
void AskPages();     // the driver's calls that map memory
void AskPeak();      // the matrix units, as mma.sync and as wgmma
void AskColumns();   // does a column's result depend on its place or on its neighbours?
void AskSums();      // in which order and how exactly does mma.sync sum?
void AskWgmma();     // is wgmma equal to mma.sync, for every N?

}  // namespace guildhall::probe
