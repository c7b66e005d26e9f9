#include <QTest>

#include "tests/ui/ui_tests.h"

namespace lectern::testing {

class ReaderTest : public QObject {
  Q_OBJECT
};

std::unique_ptr<QObject> reader_test() {
  return std::make_unique<ReaderTest>();
}

}  // namespace lectern::testing

#include "reader_test.moc"
