#!/bin/sh
# Checks every #include against the layers (README.md):
#   kernels <- inference <- app <- ui,  documents <- app, ui;  Qt only in app and ui, poppler and qpdf only in the readers.
set -u
cd "$(dirname "$0")/.." || exit 1
bad=0

# refuse FOLDER PATTERN REASON [EXCEPT]: no file of FOLDER may include what matches PATTERN.
refuse() {
  found=$(grep -rnE "^[[:space:]]*#[[:space:]]*include[[:space:]]*[<\"]($2)" "$1" --include='*.h' --include='*.cpp' \
    --include='*.cu' --include='*.cuh' | grep -vE "${4:-^$}")
  if [ -n "$found" ]; then
    printf '%s: %s\n%s\n' "$1" "$3" "$found"
    bad=1
  fi
}

refuse kernels 'inference/|documents/|app/|ui/' 'kernels may include kernels alone'
refuse kernels 'Q[A-Z]|nlohmann|sqlite|poppler' 'kernels know no Qt, JSON, SQLite or poppler'
for folder in kernels inference documents app ui tests; do
  refuse $folder 'cuda_(bf16|fp4|fp6|fp8|fp16|runtime|occupancy|profiler)|cuda\.h|cublas|cooperative_groups|cub/|mma\.h' 'CUDA headers appear in kernels/cuda and the emulator alone' \
    '^kernels/cuda/|^tests/support/cuda_emulator/|^tests/gpu/'
done
refuse inference 'documents/|app/|ui/' 'inference may include kernels and inference'
refuse inference 'Q[A-Z]|poppler' 'inference knows no Qt and no documents'
refuse documents 'kernels/|inference/|app/|ui/' 'documents may include documents alone'
refuse documents 'Q[A-Z]' 'documents know no Qt'
refuse documents 'poppler|qpdf|seccomp|git2' 'parsers are linked into lectern-reader alone' \
  '^documents/(pdf_|page_layout|outline|reader_server|reader_sandbox|sandbox|reader_main|source_tree|text_reader|reader\.|ignore_rules|tree_)'
refuse app 'ui/' 'app may not include ui, except the program itself' '^app/main\.cpp|^app/programs/main\.cpp|^app/screenshots'
refuse app 'QWidget|QApplication|QMainWindow|QDialog|QLabel|QtWidgets' 'app knows no widgets, except the program itself' \
  '^app/main\.cpp|^app/programs/main\.cpp|^app/screenshots'
refuse ui 'kernels/' 'ui reaches the engine only through app'
refuse ui 'inference/' 'of inference ui may include types.h alone' 'inference/types\.h'

[ "$bad" = 0 ] && echo "layering: every include goes the right way"
exit "$bad"
