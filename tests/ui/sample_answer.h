// An answer about the sample agreement with citations of every state; what it says stands in the sample, or is marked.
#pragma once

#include "tests/support/fake_workspace.h"

namespace lectern::testing {

QString sample_folder();
/// Adds the sample agreement; its fingerprint.
QString add_sample(FakeWorkspace& workspace);
app::Message sample_question();
app::Message sample_answer(const FakeWorkspace& workspace, const QString& agreement);

}  // namespace lectern::testing
