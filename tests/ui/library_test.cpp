#include <QTest>

#include "tests/ui/ui_tests.h"

namespace lectern::testing {

class LibraryTest : public QObject {
  Q_OBJECT
};

std::unique_ptr<QObject> library_test() {
  return std::make_unique<LibraryTest>();
}

}  // namespace lectern::testing

#include "library_test.moc"
