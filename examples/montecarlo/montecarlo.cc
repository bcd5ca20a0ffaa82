// Value at risk of a portfolio of shares and options by Monte Carlo simulation over MPI: the loss
// that ten days of trading will not exceed, with probabilities of 95, 99 and 99.9 per cent.
//
//   mpirun montecarlo [SCENARIOS [BATCHES]]
//
// Share prices follow correlated geometric Brownian motions; at the end of each scenario every
// option is valued anew. Scenarios are simulated in batches, shared among the ranks, and after each
// batch rank 0 prints the estimate so far. Every scenario has a generator of its own, seeded by its
// number, so the same arguments give the same figures, to the last bit. Nothing in it knows of
// checkpoints.
#include <mpi.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <numbers>
#include <random>
#include <vector>

namespace {

constexpr size_t kShares = 12;
constexpr int kDays = 10;
constexpr double kDaysInYear = 252, kRate = 0.03, kCorrelation = 0.35;

// A holding in one share, hedged in part by a put on it.
struct Position {
  double price, volatility, count;
  double strike, puts, years;
};

std::array<Position, kShares> Portfolio() {
  std::array<Position, kShares> positions;
  for (size_t i = 0; i < kShares; ++i) {
    const double n = static_cast<double>(i);
    positions[i] = {.price = 40 + 15 * n,
                    .volatility = 0.15 + 0.03 * n,
                    .count = 3000 - 150 * n,
                    .strike = (40 + 15 * n) * 0.95,
                    .puts = 500 + 100 * n,
                    .years = 0.25 + 0.05 * n};
  }
  return positions;
}

double NormalCdf(double x) { return 0.5 * std::erfc(-x / std::numbers::sqrt2); }

// By Black and Scholes.
double PutValue(double price, double strike, double volatility, double years) {
  const double spread = volatility * std::sqrt(years);
  const double d1 = (std::log(price / strike) + kRate * years) / spread + spread / 2;
  return strike * std::exp(-kRate * years) * NormalCdf(spread - d1) - price * NormalCdf(-d1);
}

double Value(const Position& position, double price, double years_gone) {
  return position.count * price + position.puts * PutValue(price, position.strike,
                                                           position.volatility,
                                                           position.years - years_gone);
}

// What the portfolio loses in one scenario; a gain is negative.
double Loss(const std::array<Position, kShares>& portfolio, uint64_t scenario) {
  std::seed_seq seed{static_cast<uint32_t>(scenario), static_cast<uint32_t>(scenario >> 32)};
  std::mt19937_64 generator(seed);
  std::normal_distribution<double> normal;
  std::array<double, kShares> logarithm = {};
  constexpr double kDay = 1 / kDaysInYear;
  for (int day = 0; day < kDays; ++day) {
    const double market = normal(generator);  // what all shares have in common
    for (size_t i = 0; i < kShares; ++i) {
      const double volatility = portfolio[i].volatility;
      const double shock =
          std::sqrt(kCorrelation) * market + std::sqrt(1 - kCorrelation) * normal(generator);
      logarithm[i] +=
          (kRate - volatility * volatility / 2) * kDay + volatility * std::sqrt(kDay) * shock;
    }
  }
  double loss = 0;
  for (size_t i = 0; i < kShares; ++i)
    loss += Value(portfolio[i], portfolio[i].price, 0) -
            Value(portfolio[i], portfolio[i].price * std::exp(logarithm[i]), kDays * kDay);
  return loss;
}

// The loss that is exceeded in one of `one_in` scenarios.
double ValueAtRisk(std::vector<double>& losses, size_t one_in) {
  const auto nth = losses.end() - static_cast<std::ptrdiff_t>(losses.size() / one_in) - 1;
  std::nth_element(losses.begin(), nth, losses.end());
  return *nth;
}

}  // namespace

int main(int argc, char** argv) {
  MPI_Init(&argc, &argv);
  int rank, ranks;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &ranks);
  const uint64_t scenarios = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 4'000'000;
  const uint64_t batches = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 100;
  const uint64_t share = batches > 0 ? scenarios / batches / static_cast<uint64_t>(ranks) : 0;
  if (share == 0) {
    if (rank == 0) std::fprintf(stderr, "montecarlo: no scenario for each rank and batch\n");
    MPI_Finalize();
    return 2;
  }

  const auto portfolio = Portfolio();
  const int count = static_cast<int>(share);
  std::vector<double> mine(share),
      batch_losses(rank == 0 ? share * static_cast<uint64_t>(ranks) : 0);
  std::vector<double> losses;
  for (uint64_t batch = 0; batch < batches; ++batch) {
    const uint64_t first =
        (batch * static_cast<uint64_t>(ranks) + static_cast<uint64_t>(rank)) * share;
    for (uint64_t i = 0; i < share; ++i) mine[i] = Loss(portfolio, first + i);
    MPI_Gather(mine.data(), count, MPI_DOUBLE, batch_losses.data(), count, MPI_DOUBLE, 0,
               MPI_COMM_WORLD);
    if (rank != 0) continue;
    losses.insert(losses.end(), batch_losses.begin(), batch_losses.end());
    std::printf("batch %llu of %llu, value at risk: 95%% %.6f, 99%% %.6f, 99.9%% %.6f\n",
                static_cast<unsigned long long>(batch + 1),
                static_cast<unsigned long long>(batches), ValueAtRisk(losses, 20),
                ValueAtRisk(losses, 100), ValueAtRisk(losses, 1000));
    std::fflush(stdout);
  }
  MPI_Finalize();
  return 0;
}
