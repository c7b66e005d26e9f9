// Memory faults of kernels, explained before the process dies of them.
#pragma once

namespace emu {

/// In builds without a sanitizer: SIGSEGV and SIGBUS print the kernel, block and thread, and what memory the address
/// belongs to. Sanitizers have reports of their own.
void install_fault_handler();

}  // namespace emu
