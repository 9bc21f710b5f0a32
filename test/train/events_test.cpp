#include "train/report/events.h"

#include <gtest/gtest.h>

#include <bit>
#include <cstring>
#include <limits>
#include <vector>

#include "data/file.h"

namespace intarsia {
namespace {

namespace fs = std::filesystem;

template <class T>
T take(std::string_view& bytes) {
  T value;
  if (bytes.size() < sizeof value) throw std::runtime_error("the file is cut off");
  std::memcpy(&value, bytes.data(), sizeof value);
  bytes.remove_prefix(sizeof value);
  return value;
}

uint64_t take_varint(std::string_view& bytes) {
  uint64_t value = 0;
  for (int shift = 0; shift < 64; shift += 7) {
    const auto byte = take<uint8_t>(bytes);
    value |= uint64_t{byte & 0x7fu} << shift;
    if (byte < 0x80) return value;
  }
  throw std::runtime_error("a varint has more than ten bytes");
}

// The frames of a TFRecord file, each with its checksums tested.
std::vector<std::string> frames(std::string_view bytes) {
  std::vector<std::string> out;
  while (!bytes.empty()) {
    const std::string_view head = bytes.substr(0, 8);
    const auto length = take<uint64_t>(bytes);
    EXPECT_EQ(take<uint32_t>(bytes), masked_crc32c(head));
    const std::string_view body = bytes.substr(0, length);
    bytes.remove_prefix(length);
    EXPECT_EQ(take<uint32_t>(bytes), masked_crc32c(body));
    out.emplace_back(body);
  }
  return out;
}

// A message's fields, whatever they mean: number, and what stands there.
struct Field {
  uint32_t number = 0;
  uint64_t integer = 0;
  std::string_view bytes;
};
std::vector<Field> fields(std::string_view message) {
  std::vector<Field> out;
  while (!message.empty()) {
    const uint64_t key = take_varint(message);
    Field field;
    field.number = static_cast<uint32_t>(key >> 3);
    switch (key & 7) {
      case 0:
        field.integer = take_varint(message);
        break;
      case 1:
        field.integer = take<uint64_t>(message);
        break;
      case 5:
        field.integer = take<uint32_t>(message);
        break;
      case 2: {
        const uint64_t length = take_varint(message);
        field.bytes = message.substr(0, length);
        message.remove_prefix(length);
        break;
      }
      default:
        throw std::runtime_error("unknown wire type");
    }
    out.push_back(field);
  }
  return out;
}

struct Read {
  std::string version;
  double time = 0;
  int64_t step = 0;
  bool session_start = false;
  std::vector<std::pair<std::string, float>> scalars;
};
std::vector<Read> read_events(const fs::path& path) {
  std::vector<Read> out;
  for (const std::string& frame : frames(read_file(path))) {
    Read event;
    for (const Field& field : fields(frame)) {
      if (field.number == 1) event.time = std::bit_cast<double>(field.integer);
      if (field.number == 2) event.step = static_cast<int64_t>(field.integer);
      if (field.number == 3) event.version = field.bytes;
      if (field.number == 7) event.session_start = fields(field.bytes).at(0).integer == 1;
      if (field.number != 5) continue;
      for (const Field& value : fields(field.bytes)) {
        const auto parts = fields(value.bytes);
        event.scalars.emplace_back(std::string(parts.at(0).bytes),
                                   std::bit_cast<float>(static_cast<uint32_t>(parts.at(1).integer)));
      }
    }
    out.push_back(event);
  }
  return out;
}

class EventsTest : public testing::Test {
 protected:
  EventsTest() { fs::remove_all(directory_); }
  ~EventsTest() override { fs::remove_all(directory_); }
  fs::path directory_ =
      fs::temp_directory_path() / ("intarsia-events-" + std::to_string(getpid()) +
                                   testing::UnitTest::GetInstance()->current_test_info()->name());
};

TEST(Crc32c, AgreesWithThePublishedValues) {
  EXPECT_EQ(crc32c(""), 0u);
  EXPECT_EQ(crc32c("123456789"), 0xe3069283u);
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8a9136aau);  // RFC 3720, B.4
  EXPECT_EQ(crc32c(std::string(32, '\xff')), 0x62a8ab43u);
  EXPECT_EQ(masked_crc32c(""), 0xa282ead8u);
}

TEST_F(EventsTest, ScalarsComeBackWithStepAndTime) {
  fs::path path;
  {
    EventWriter writer(directory_);
    path = writer.path();
    const Scalar first[] = {{"loss/train", 1.5}, {"learning_rate", 3e-4}};
    writer.add(10, first, 1800000000.5);
    const Scalar second[] = {{"loss/train", std::numeric_limits<double>::quiet_NaN()}, {"memory", 9.38}};
    writer.add(int64_t{1} << 40, second, 1800000001);
    const Scalar none[] = {{"loss/train", std::numeric_limits<double>::infinity()}};
    writer.add(11, none, 1800000002);
  }
  EXPECT_TRUE(path.filename().string().starts_with("events.out.tfevents."));
  const std::vector<Read> events = read_events(path);
  ASSERT_EQ(events.size(), 3u) << "an event without a finite scalar is left out";
  EXPECT_EQ(events[0].version, "brain.Event:2");
  EXPECT_GT(events[0].time, 1.7e9);
  EXPECT_EQ(events[1].step, 10);
  EXPECT_EQ(events[1].time, 1800000000.5);
  ASSERT_EQ(events[1].scalars.size(), 2u);
  EXPECT_EQ(events[1].scalars[0].first, "loss/train");
  EXPECT_EQ(events[1].scalars[0].second, 1.5f);
  EXPECT_EQ(events[1].scalars[1].second, 3e-4f);
  EXPECT_EQ(events[2].step, int64_t{1} << 40);
  ASSERT_EQ(events[2].scalars.size(), 1u) << "NaN is left out";
  EXPECT_EQ(events[2].scalars[0].first, "memory");
}

TEST_F(EventsTest, AResumeStartsANewFileThatVoidsLaterSteps) {
  const fs::path first = EventWriter(directory_).path();
  const fs::path second = EventWriter(directory_, 401).path();
  EXPECT_NE(first, second);
  EXPECT_LT(first.filename(), second.filename()) << "TensorBoard reads them in the order of their names";
  const std::vector<Read> events = read_events(second);
  ASSERT_EQ(events.size(), 2u);
  EXPECT_TRUE(events[1].session_start);
  EXPECT_EQ(events[1].step, 401);
}

}  // namespace
}  // namespace intarsia
