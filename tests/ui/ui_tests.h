// The tests of this program, in the order in which they run.
#pragma once

#include <QObject>
#include <memory>
#include <vector>

namespace lectern::testing {

std::unique_ptr<QObject> library_test();
std::unique_ptr<QObject> markdown_test();
std::unique_ptr<QObject> conversation_test();
std::unique_ptr<QObject> reader_test();
std::unique_ptr<QObject> window_test();
std::unique_ptr<QObject> states_test();

}  // namespace lectern::testing
