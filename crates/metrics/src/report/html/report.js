// Draws the charts from the data in the page; again when the colours or the width change, and for paper.
(() => {
  'use strict';
  const data = JSON.parse(document.getElementById('data').textContent);
  const place = document.getElementById('charts');
  const HEIGHT = 220;
  let drawn = [];

  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue('--' + name).trim();
  const axis = (more) => ({ stroke: colour('quiet'), grid: { stroke: colour('line'), width: 1 }, ticks: { stroke: colour('line') }, ...more });
  const short = (value) => value == null ? '–' : value >= 1e6 ? +(value / 1e6).toFixed(1) + 'M' : value >= 1e4 ? +(value / 1e3).toFixed(1) + 'k' : String(+value.toFixed(1));

  const clock = (seconds) => new Date(seconds * 1e3).toISOString().slice(11, 19);

  function chart(title, x, lines, options = {}) {
    const box = document.createElement('div');
    box.className = 'chart';
    const heading = document.createElement('h2');
    heading.textContent = title;
    box.append(heading);
    if (options.note) {
      const note = document.createElement('p');
      note.className = 'note';
      note.textContent = options.note;
      box.append(note);
    }
    place.append(box);
    if (x.length === 0) {
      const empty = document.createElement('p');
      empty.className = 'empty';
      empty.textContent = options.empty || 'There is no time line in this report.';
      box.append(empty);
      return;
    }
    const width = () => Math.max(280, Math.floor(box.getBoundingClientRect().width));
    const few = x.length < 40;
    const series = lines.map(({ name, hue, paths, fill }) => ({
      label: name, stroke: colour(hue), width: 2, paths, fill: fill && colour(hue) + '55', points: { show: few && !paths, size: 5 }, value: (_, value) => short(value),
    }));
    const plot = new uPlot({
      width: width(), height: HEIGHT, tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1e3), 'Etc/UTC'),
      scales: { x: { range: (_, min, max) => x.length === 1 ? [x[0] - data.stepSeconds, x[0] + data.stepSeconds] : [min, max] }, y: { range: (_, min, max) => [0, max > 0 ? max * 1.1 : 1] }, ...options.scales }, legend: { live: true }, padding: [null, 30, null, null],
      series: [options.x || { label: 'UTC', value: (_, at) => at == null ? '–' : clock(at) }, ...series],
      axes: [axis(options.xAxis || { space: 70, values: (_, ticks) => ticks.map(clock) }), axis({ size: 56, values: (_, values) => values.map(short) })],
    }, [x, ...lines.map((line) => line.values)], box);
    drawn.push({ plot, width });
  }

  function draw() {
    drawn.forEach(({ plot }) => plot.destroy());
    drawn = [];
    place.querySelectorAll('.chart').forEach((box) => box.remove());
    const { times, stepSeconds, perSecond, latency, withinPercent, created, completed, failed, errors, distribution } = data;
    const note = `steps of ${stepSeconds} s, from the time that is shown; the first and the last may not be whole`;
    if (perSecond.length) chart('Requests per second', times, [{ name: 'requests/s', hue: 'a', values: perSecond, fill: true }], { note });
    if (latency) {
      chart(latency.name + ' (ms)', times, [
        { name: 'median', hue: 'a', values: latency.p50 }, { name: 'p95', hue: 'b', values: latency.p95 }, { name: 'p99', hue: 'c', values: latency.p99 },
      ], { note: withinPercent ? `${note}; percentiles are within ${withinPercent} % of a measured value` : note });
    }
    chart('Virtual users in each step', times, [
      { name: 'created', hue: 'a', values: created }, { name: 'completed', hue: 'd', values: completed }, { name: 'failed', hue: 'e', values: failed },
    ], { note });
    if (errors.length) {
      chart('Errors in each step', times, errors.map(({ name, values }, i) => ({ name, hue: 'ebcadf'[i % 6], values })), { note });
    }
    if (distribution && distribution.up_to.length > 1) {
      chart(distribution.name + ': how many values up to (ms)', distribution.up_to.map((value, i) => i), [
        { name: 'values', hue: 'a', values: distribution.counts, paths: uPlot.paths.bars({ size: [0.9, 100] }), fill: true },
      ], {
        note: 'steps that are equally wide on a logarithmic scale',
        scales: { x: { time: false, range: (_, min, max) => [min - 1, max + 1] } },
        x: { label: 'up to ms', value: (_, i) => i == null ? '–' : short(distribution.up_to[i]) },
        xAxis: { values: (_, ticks) => ticks.map((i) => Number.isInteger(i) && i in distribution.up_to ? short(distribution.up_to[i]) : '') },
      });
    }
  }

  draw();
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', draw);
  addEventListener('resize', () => drawn.forEach(({ plot, width }) => plot.setSize({ width: width(), height: HEIGHT })));
  const closed = [];
  addEventListener('beforeprint', () => {
    document.querySelectorAll('details:not([open])').forEach((details) => { details.open = true; closed.push(details); });
    document.documentElement.dataset.print = '';
    draw();
  });
  addEventListener('afterprint', () => {
    closed.splice(0).forEach((details) => { details.open = false; });
    delete document.documentElement.dataset.print;
    draw();
  });
})();
