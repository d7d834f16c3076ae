/* The speed of light: Langevin ensembles in a double well, one thread, written for the compiler's vectoriser.
 *
 * Noise is Philox-4x32-10 on counters (replica, draw), turned into normals by Box and Muller with polynomials for the
 * logarithm and the circular functions. Source: Salmon, Moraes, Dror and Shaw, SC 2011; Box and Muller, Ann. Math.
 * Stat. 29, 610 (1958). Replicas walk side by side in blocks of LANES, so that every inner loop is one vector loop.
 *
 * Every function starts at x = 0 and writes the final positions: U = a (x^2 - 1)^2 + b x, mass 1.
 */
#include <math.h>
#include <stdint.h>
#include <string.h>

#define LANES 128
#define UNROLL _Pragma("GCC unroll 32")
#define VECTOR for (int i = 0; i < LANES; i++)

static inline void philox(uint32_t replica, uint32_t draw, uint32_t key, uint32_t word[4]) {
    uint32_t a = draw, b = replica, c = 0, d = 0, k0 = key, k1 = ~key;
    for (int round = 0; round < 10; round++) {
        uint64_t p = (uint64_t)a * 0xD2511F53u, q = (uint64_t)c * 0xCD9E8D57u;
        uint32_t high_p = p >> 32, high_q = q >> 32;
        a = high_q ^ b ^ k0, b = (uint32_t)q, c = high_p ^ d ^ k1, d = (uint32_t)p;
        k0 += 0x9E3779B9u, k1 += 0xBB67AE85u;
    }
    word[0] = a, word[1] = b, word[2] = c, word[3] = d;
}

/* Two normals: radius from `unit` in (0, 1], angle from `angle` in (-pi/2, pi/2), doubled at the end. */
#define BOX_MULLER(REAL, INTEGER, UNSIGNED, BITS, HALF, SQRT, LOG, SINE, COSINE)                                       \
    static inline void normals_##REAL(REAL unit, REAL angle, REAL *first, REAL *second) {                              \
        INTEGER bits;                                                                                                  \
        memcpy(&bits, &unit, sizeof bits);                                                                             \
        INTEGER exponent = (bits - HALF) >> BITS;                                                                      \
        bits -= (INTEGER)((UNSIGNED)exponent << BITS);                                                                 \
        REAL mantissa, log = 0, sine = 0, cosine = 0;                                                                  \
        memcpy(&mantissa, &bits, sizeof bits);                                                                         \
        mantissa -= 1;                                                                                                 \
        static const REAL logs[] = LOG, sines[] = SINE, cosines[] = COSINE;                                            \
        UNROLL for (int k = sizeof logs / sizeof(REAL) - 1; k >= 0; k--) log = log * mantissa + logs[k];               \
        REAL square = angle * angle;                                                                                   \
        UNROLL for (int k = sizeof sines / sizeof(REAL) - 1; k >= 0; k--) sine = sine * square + sines[k];             \
        UNROLL for (int k = sizeof cosines / sizeof(REAL) - 1; k >= 0; k--) cosine = cosine * square + cosines[k];     \
        REAL radius = SQRT(-2 * (log * mantissa + (REAL)exponent * (REAL)0.69314718055994531));                        \
        sine *= angle;                                                                                                 \
        *first = radius * (1 - 2 * sine * sine);                                                                       \
        *second = radius * 2 * sine * cosine;                                                                          \
    }

#define LIST(...) {__VA_ARGS__}
BOX_MULLER(float, int32_t, uint32_t, 23, 0x3F3504F3, sqrtf,
           LIST(0.999999974f, -0.499999964f, 0.333341933f, -0.250013522f, 0.199559334f, -0.165779929f, 0.149774013f,
                -0.142692582f, 0.0853331305f),
           LIST(0.999999996f, -0.166666579f, 0.00833305017f, -0.000198090174f, 2.60510763e-06f),
           LIST(1.0f, -0.499999994f, 0.0416666362f, -0.00138883603f, 2.47601097e-05f, -2.60506573e-07f))
BOX_MULLER(double, int64_t, uint64_t, 52, 0x3FE6A09E667F3BCD, sqrt,
           LIST(1, -0.49999999999998357, 0.33333333333303727, -0.25000000000694383, 0.20000000010101113,
                -0.16666666592036583, 0.14285713201733918, -0.1250000305426468, 0.11111165025136978,
                -0.099999605037313796, 0.090894730264999876, -0.083326249343624509, 0.077136786761341627,
                -0.071722114487898461, 0.064972351735444689, -0.058769015107901501, 0.064294914992409274,
                -0.075910497799845891, 0.058460216436389864, -0.017677669529663657),
           LIST(0.99999999999999867, -0.16666666666662561, 0.0083333333330576839, -0.00019841269761246923,
                2.755730721166343e-06, -2.5051103820280067e-08, 1.6011828833670059e-10, -6.4809910360368042e-13,
                -8.9856579186027259e-15),
           LIST(0.99999999999999856, -0.49999999999996486, 0.041666666666440672, -0.0013888888882583397,
                2.480158638783755e-05, -2.755724495327723e-07, 2.0873328462087249e-09, -1.1385831792916867e-11,
                3.8568334365067974e-14))

/* The normals of LANES replicas for the next steps: four in float, two in double. */
#define STEPS_float 4
#define STEPS_double 2

static inline void draw_words(uint32_t replica, uint32_t draw, uint32_t key, uint32_t w[4][LANES]) {
    VECTOR {
        uint32_t word[4];
        philox(replica + i, draw, key, word);
        w[0][i] = word[0], w[1][i] = word[1], w[2][i] = word[2], w[3][i] = word[3];
    }
}

static inline void draw_float(uint32_t replica, uint32_t draw, uint32_t key, float z[4][LANES]) {
    uint32_t w[4][LANES];
    draw_words(replica, draw, key, w);
    for (int k = 0; k < 4; k += 2) VECTOR {
            float unit = ((float)(int32_t)(w[k][i] >> 1) + 0.5f) * 0x1p-31f;
            float angle = (float)(int32_t)w[k + 1][i] * (float)(0x1p-32 * M_PI);
            normals_float(unit, angle, &z[k][i], &z[k + 1][i]);
        }
}

static inline double unit_double(uint32_t high, uint32_t low) {
    return (double)(int32_t)(high >> 1) * 0x1p-31 + ((double)(int32_t)(low >> 11) + 0.5) * 0x1p-52;
}

static inline void draw_double(uint32_t replica, uint32_t draw, uint32_t key, double z[2][LANES]) {
    uint32_t w[4][LANES];
    draw_words(replica, draw, key, w);
    VECTOR {
        double angle = (unit_double(w[2][i], w[3][i]) - 0.5) * M_PI;
        normals_double(unit_double(w[0][i], w[1][i]), angle, &z[0][i], &z[1][i]);
    }
}

#define FORCE(REAL, x) (-4 * a * (x) * ((x) * (x) - 1) - b)

#define ENSEMBLES(REAL)                                                                                                \
    void overdamped_##REAL(int replicas, int steps, uint32_t key, REAL a, REAL b, REAL dt, REAL kT, REAL *out) {       \
        REAL spread = (REAL)sqrt(2 * kT * dt);                                                                         \
        for (int r = 0; r < replicas; r += LANES) {                                                                    \
            REAL x[LANES] = {0}, z[STEPS_##REAL][LANES];                                                               \
            for (int t = 0; t < steps; t++) {                                                                          \
                if (t % STEPS_##REAL == 0) draw_##REAL(r, t / STEPS_##REAL, key, z);                                   \
                VECTOR x[i] += dt * FORCE(REAL, x[i]) + spread * z[t % STEPS_##REAL][i];                               \
            }                                                                                                          \
            memcpy(out + r, x, sizeof x);                                                                              \
        }                                                                                                              \
    }                                                                                                                  \
    void baoab_##REAL(int replicas, int steps, uint32_t key, REAL a, REAL b, REAL dt, REAL kT, REAL *out) {            \
        REAL damping = (REAL)exp(-dt), spread = (REAL)sqrt(kT * -expm1(-2 * dt)), half = dt / 2;                       \
        for (int r = 0; r < replicas; r += LANES) {                                                                    \
            REAL x[LANES] = {0}, v[LANES] = {0}, f[LANES], z[STEPS_##REAL][LANES];                                     \
            VECTOR f[i] = FORCE(REAL, x[i]);                                                                           \
            for (int t = 0; t < steps; t++) {                                                                          \
                if (t % STEPS_##REAL == 0) draw_##REAL(r, t / STEPS_##REAL, key, z);                                   \
                VECTOR {                                                                                               \
                    REAL kicked = v[i] + half * f[i];                                                                  \
                    REAL thermal = damping * kicked + spread * z[t % STEPS_##REAL][i];                                 \
                    x[i] += half * (kicked + thermal);                                                                 \
                    f[i] = FORCE(REAL, x[i]);                                                                          \
                    v[i] = thermal + half * f[i];                                                                      \
                }                                                                                                      \
            }                                                                                                          \
            memcpy(out + r, x, sizeof x);                                                                              \
        }                                                                                                              \
    }

ENSEMBLES(float)
ENSEMBLES(double)
