// Where Artillery enters the reporter: once in the launcher (the main thread), and once in each thread that makes load.
'use strict';

const { isMainThread } = require('node:worker_threads');

/** An Artillery plugin (version 2). It never throws: what happens to the report must not happen to the test. */
class Plugin {
  /**
   * @param script the load test as Artillery resolved it
   * @param events Artillery's events: `stats`, `done`, `phaseStarted`, `phaseCompleted`
   */
  constructor(script, events) {
    let mayRunAlone = false;
    try {
      // whoever runs but a share of the script must be told which, and whoever runs the hooks for all, that it does
      mayRunAlone = !Object.values(require('./settings.js').needs(process.env)).includes(true);
      if (process.env.LOADTEST_COLLECTOR === undefined && mayRunAlone) return;
      if (isMainThread) {
        const launcher = require('./launcher.js').begin(script, events);
        if (!launcher) return;
        this.cleanup = (done) => {
          launcher.cleanup().then(() => done(null), done);
        };
      } else {
        require('./thread.js').begin();
      }
    } catch (error) {
      process.stderr.write(`loadtest: this run is not reported as it should: ${error.message}\n`);
      if (!mayRunAlone && isMainThread) process.exit(77);
    }
  }
}

module.exports = { Plugin, LEGACY_METRICS_FORMAT: false };
