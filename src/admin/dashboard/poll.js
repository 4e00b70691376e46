// Asks again and again: one request at a time, more seldom while none is answered, not at all while nobody looks.

const INTERVAL_MS = 1000;
const LONGEST_MS = 30_000;

export class Poll {
  #work;
  #failed;
  #failures = 0;
  #wake = () => {};
  #woken = false;

  /**
   * `work` is one round; `failed` is told of the error that ended one, and of the milliseconds to the next, and waited
   * for.
   */
  constructor(work, failed) {
    this.#work = work;
    this.#failed = failed;
    document.addEventListener("visibilitychange", () => this.now());
  }

  /** Begins the next round at once, also if it was put off. */
  now() {
    this.#woken = true;
    this.#wake();
  }

  async run() {
    for (;;) {
      if (document.hidden) {
        await this.#sleep(undefined);
        continue;
      }
      this.#woken = false;
      let pause = INTERVAL_MS;
      try {
        await this.#work();
        this.#failures = 0;
      } catch (error) {
        this.#failures += 1;
        pause = Math.min(INTERVAL_MS * 2 ** this.#failures, LONGEST_MS);
        await this.#failed(error, pause);
      }
      await this.#sleep(pause);
    }
  }

  /** Until `now`, or for so long. */
  #sleep(milliseconds) {
    return new Promise((resolve) => {
      if (this.#woken && milliseconds !== undefined) {
        resolve();
        return;
      }
      const timer = milliseconds === undefined ? undefined : setTimeout(resolve, milliseconds);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}
