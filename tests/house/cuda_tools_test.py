"""As house_test.py, for the rules about what nvcc made."""

import unittest

import disassembly
import ptxas

REPORT = """\
ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function '_Z3addPf' for 'sm_80'
ptxas info    : Function properties for _Z3addPf
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 40 registers, used 1 barriers, 400 bytes cmem[0]
ptxas info    : Compiling entry function '_Z4loopPf' for 'sm_90a'
ptxas info    : Function properties for _Z4loopPf
    64 bytes stack frame, 8 bytes spill stores, 12 bytes spill loads
ptxas info    : Used 255 registers, used 1 barriers, 64 bytes cumulative stack size
"""


class Ptxas(unittest.TestCase):
    def test_registers_and_local_memory_of_each_kernel(self):
        kernels = ptxas.demangled(ptxas.kernels_of("a.cu", REPORT))
        self.assertEqual([(k.name, k.target, k.registers, k.local_bytes) for k in kernels],
                         [("add", "sm_80", 40, 0), ("loop", "sm_90a", 255, 84)])

    def test_a_spill_is_a_problem_unless_it_is_allowed(self):
        kernels = ptxas.demangled(ptxas.kernels_of("a.cu", REPORT))
        problems = ptxas.problems_of(kernels, [])
        self.assertEqual(len(problems), 1)
        self.assertIn("a.cu: loop for sm_90a: 84 bytes", problems[0])
        self.assertEqual(ptxas.problems_of(kernels, [("loop", "its table is indexed by data")]), [])

    def test_what_is_allowed_must_be_needed(self):
        self.assertIn("no kernel needs", ptxas.problems_of(ptxas.kernels_of("a.cu", REPORT)[:1], [("loop", "")])[0])


class Disassembly(unittest.TestCase):
    def test_the_instructions_are_found_by_name(self):
        code = "HMMA.16816.F32.BF16 R4, R8, R12, R4 ;\nLDSM.16.M88.4 R8, [R2] ;\nLDGSTS.E.BYPASS.128 [R3], [R4.64] ;\n"
        self.assertEqual(disassembly.missing_in(code, tuple(disassembly.INSTRUCTIONS)), [])
        self.assertEqual(disassembly.missing_in("LDG.E.128.CONSTANT R4, [R2.64] ;", ("16-byte loads",)), [])

    def test_narrow_loads_do_not_count(self):
        code = "LDG.E.64 R4, [R2.64] ;\nLDGSTS.E [R3], [R4.64] ;\nIHMMA2 ;\n"
        self.assertEqual(disassembly.missing_in(code, tuple(disassembly.INSTRUCTIONS)), list(disassembly.INSTRUCTIONS))


if __name__ == "__main__":
    unittest.main()
