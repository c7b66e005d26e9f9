#include <QTest>

#include "tests/ui/ui_tests.h"

namespace lectern::testing {

class WindowTest : public QObject {
  Q_OBJECT
};

std::unique_ptr<QObject> window_test() {
  return std::make_unique<WindowTest>();
}

}  // namespace lectern::testing

#include "window_test.moc"
