#include "intarsia/digits.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <vector>

#include "core/fail.h"
#include "core/threads.h"
#include "intarsia/random.h"

namespace intarsia {

namespace {

constexpr int side = 28, pixels = side * side;

struct Point {
  double x, y;
};
using Stroke = std::vector<Point>;

// Strokes live in a box from 0 to 1, y downwards.
class Pen {
 public:
  Pen& line(std::initializer_list<Point> points) {
    strokes_.emplace_back(points);
    return *this;
  }
  // Part of an ellipse; angles in turns, clockwise on the page from the right.
  Pen& arc(Point center, double rx, double ry, double from, double to) {
    constexpr int steps = 14;
    Stroke stroke;
    for (int i = 0; i <= steps; i++) {
      const double angle = 2 * std::numbers::pi * (from + (to - from) * i / steps);
      stroke.push_back({center.x + rx * std::cos(angle), center.y + ry * std::sin(angle)});
    }
    strokes_.push_back(std::move(stroke));
    return *this;
  }
  std::vector<Stroke> take() { return std::move(strokes_); }

 private:
  std::vector<Stroke> strokes_;
};

// Digits have two ways to be written where people have.
std::vector<Stroke> strokes_of(int digit, bool other_way) {
  Pen pen;
  switch (digit) {
    case 0:
      pen.arc({0.5, 0.5}, 0.32, 0.46, 0, 1);
      break;
    case 1:
      if (other_way)
        pen.line({{0.28, 0.24}, {0.54, 0.04}, {0.54, 0.96}});
      else
        pen.line({{0.5, 0.04}, {0.5, 0.96}});
      break;
    case 2:
      pen.arc({0.5, 0.3}, 0.3, 0.26, 0.5, 1.09).line({{0.75, 0.44}, {0.18, 0.95}, {0.82, 0.95}});
      break;
    case 3:
      pen.arc({0.46, 0.28}, 0.3, 0.23, 0.6, 1.25).arc({0.46, 0.73}, 0.34, 0.23, 0.75, 1.42);
      break;
    case 4:
      if (other_way)
        pen.line({{0.24, 0.08}, {0.2, 0.55}, {0.84, 0.55}}).line({{0.68, 0.08}, {0.68, 0.96}});
      else
        pen.line({{0.68, 0.96}, {0.68, 0.05}, {0.14, 0.66}, {0.88, 0.66}});
      break;
    case 5:
      pen.line({{0.78, 0.06}, {0.28, 0.06}, {0.25, 0.46}}).arc({0.46, 0.68}, 0.32, 0.26, 0.63, 1.4);
      break;
    case 6:
      pen.line({{0.66, 0.04}, {0.34, 0.36}, {0.21, 0.62}}).arc({0.5, 0.7}, 0.29, 0.26, 0, 1);
      break;
    case 7:
      pen.line({{0.18, 0.07}, {0.82, 0.07}, {0.42, 0.96}});
      if (other_way) pen.line({{0.36, 0.52}, {0.76, 0.52}});
      break;
    case 8:
      pen.arc({0.5, 0.27}, 0.25, 0.22, 0, 1).arc({0.5, 0.73}, 0.3, 0.24, 0, 1);
      break;
    default:
      pen.arc({0.5, 0.3}, 0.28, 0.25, 0, 1).line({{0.78, 0.3}, {0.74, 0.62}, {0.6, 0.96}});
      break;
  }
  return pen.take();
}

double between(Random& random, double low, double high) { return low + (high - low) * random.uniform(); }

// Moves the strokes to the page, in pixels: bent, slanted, turned, scaled and shifted by chance.
void place(std::vector<Stroke>& strokes, Random& random) {
  const double width = between(random, 11, 18), height = between(random, 16, 21);
  const double slant = between(random, -0.25, 0.25), turn = between(random, -0.15, 0.15);
  const double shift_x = between(random, -2, 2), shift_y = between(random, -2, 2);
  const double bend_x = between(random, -0.1, 0.1), bend_y = between(random, -0.1, 0.1);
  const double phase = between(random, 0, 2 * std::numbers::pi);
  const double cosine = std::cos(turn), sine = std::sin(turn);
  for (Stroke& stroke : strokes) {
    for (Point& p : stroke) {
      const double x = p.x + bend_x * std::sin(4 * p.y + phase) + 0.025 * random.normal();
      const double y = p.y + bend_y * std::sin(4 * p.x + phase) + 0.025 * random.normal();
      const double u = (x - 0.5 - slant * (y - 0.5)) * width, v = (y - 0.5) * height;
      p.x = side / 2.0 + shift_x + cosine * u - sine * v;
      p.y = side / 2.0 + shift_y + sine * u + cosine * v;
    }
  }
}

double distance(Point p, Point a, Point b) {
  const double dx = b.x - a.x, dy = b.y - a.y, length = dx * dx + dy * dy;
  const double along =
      length > 0 ? std::clamp(((p.x - a.x) * dx + (p.y - a.y) * dy) / length, 0.0, 1.0) : 0.0;
  return std::hypot(p.x - a.x - along * dx, p.y - a.y - along * dy);
}

// Ink of a pen with a soft edge one pixel wide, then paper noise.
void paint(const std::vector<Stroke>& strokes, Random& random, float* image) {
  const double radius = between(random, 0.5, 1.7), ink = between(random, 0.6, 1.0),
               noise = between(random, 0.0, 0.16);
  std::fill_n(image, pixels, 0.0f);
  for (const Stroke& stroke : strokes) {
    for (size_t i = 1; i < stroke.size(); i++) {
      const Point a = stroke[i - 1], b = stroke[i];
      const auto first = [&](double p, double q) {
        return std::max(0, static_cast<int>(std::min(p, q) - radius - 1));
      };
      const auto last = [&](double p, double q) {
        return std::min(side - 1, static_cast<int>(std::max(p, q) + radius + 1));
      };
      for (int y = first(a.y, b.y); y <= last(a.y, b.y); y++) {
        for (int x = first(a.x, b.x); x <= last(a.x, b.x); x++) {
          const double reach = radius + 0.5 - distance({x + 0.5, y + 0.5}, a, b);
          float& pixel = image[y * side + x];
          pixel = std::max(pixel, static_cast<float>(ink * std::clamp(reach, 0.0, 1.0)));
        }
      }
    }
  }
  for (int i = 0; i < pixels; i++) {
    const double value = image[i] + noise * random.normal();
    image[i] = static_cast<float>(std::clamp(value, 0.0, 1.0));
  }
}

}  // namespace

Digits draw_digits(int64_t count, uint64_t seed) {
  if (count < 0) fail("draw_digits: count is {}, expected 0 or more", count);
  Digits digits{Array::empty({count, pixels}), Array::empty({count}, DType::i32)};
  auto* images = digits.images.mutable_data<float>();
  auto* labels = digits.labels.mutable_data<int32_t>();
  parallel_for(count, 64, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) {
      Random random(seed, static_cast<uint64_t>(i));  // a stream each: no digit depends on the others
      labels[i] = static_cast<int32_t>(random.below(10));
      std::vector<Stroke> strokes = strokes_of(labels[i], random.uniform() < 0.5);
      place(strokes, random);
      paint(strokes, random, images + i * pixels);
    }
  });
  return digits;
}

}  // namespace intarsia
