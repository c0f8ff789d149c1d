"""The knobs that surfaces are drawn from: real ones of the catalogue, none of which does anything yet.

All may be tuned freely. They have their usual values, no couplings and no twins, and act without a restart.
"""

from __future__ import annotations

from knobctl.target.synthetic import Axis

POOL = (
    Axis("vm.swappiness", 60, None, 0, 100),
    Axis("vm.dirty_expire_centisecs", 3000, None, 100, 6000),
    Axis("vm.dirty_writeback_centisecs", 500, None, 100, 3000),
    Axis("vm.vfs_cache_pressure", 100, None, 1, 1000),
    Axis("vm.watermark_scale_factor", 10, None, 5, 500),
    Axis("vm.compaction_proactiveness", 20, None, 0, 80),
    Axis("vm.stat_interval", 1, None, 1, 120),
    Axis("vm.page_lock_unfairness", 5, None, 1, 50),
    Axis("vm.extfrag_threshold", 500, None, 0, 1000),
    Axis("block.read_ahead_kb", 128, None, 4, 16384),
    Axis("block.nr_requests", 256, None, 16, 2048),
    Axis("net.core.netdev_max_backlog", 1000, None, 300, 262_144),
    Axis("net.core.netdev_budget", 300, None, 100, 3000),
    Axis("net.core.dev_weight", 64, None, 16, 512),
    Axis("net.core.skb_defer_max", 64, None, 0, 256),
    Axis("net.core.gro_normal_batch", 8, None, 1, 64),
    Axis("net.ipv4.tcp_max_syn_backlog", 2048, None, 128, 65_536),
    Axis("net.ipv4.tcp_fin_timeout", 60, None, 10, 120),
    Axis("net.ipv4.tcp_limit_output_bytes", 4_194_304, None, 131_072, 16_777_216),
    Axis("net.ipv4.tcp_min_tso_segs", 2, None, 1, 16),
    Axis("net.ipv4.tcp_comp_sack_nr", 44, None, 0, 255),
    Axis("ksm.pages_to_scan", 100, None, 10, 10_000),
    Axis("khugepaged.pages_to_scan", 4096, None, 256, 131_072),
    Axis("kernel.sched_rr_timeslice_ms", 100, None, 20, 1000),
)
"""Up to so many knobs, a surface is drawn from these alone."""

MORE = (
    Axis("kernel.sched_cfs_bandwidth_slice_us", 5000, None, 1000, 20_000),
    Axis("kernel.sched_migration_cost_ns", 500_000, None, 50_000, 50_000_000),
    Axis("kernel.sched_nr_migrate", 32, None, 4, 256),
    Axis("net.core.netdev_budget_usecs", 8000, None, 8000, 20_000),
    Axis("net.core.dev_weight_rx_bias", 1, None, 1, 16),
    Axis("net.core.dev_weight_tx_bias", 1, None, 1, 16),
    Axis("net.core.busy_poll", 0, None, 0, 200),
    Axis("net.core.mem_pcpu_rsv", 256, None, 256, 4096),
    Axis("fs.inotify.max_user_instances", 128, None, 128, 8192),
    Axis("net.ipv4.tcp_tso_win_divisor", 3, None, 1, 16),
    Axis("net.ipv4.tcp_tso_rtt_log", 9, None, 0, 16),
    Axis("net.ipv4.tcp_pacing_ss_ratio", 200, None, 150, 400),
    Axis("net.ipv4.tcp_pacing_ca_ratio", 120, None, 105, 200),
    Axis("net.ipv4.tcp_min_rtt_wlen", 300, None, 10, 3600),
    Axis("net.ipv4.tcp_max_reordering", 300, None, 100, 1000),
    Axis("net.ipv4.tcp_comp_sack_delay_ns", 1_000_000, None, 10_000, 5_000_000),
    Axis("net.ipv4.tcp_comp_sack_slack_ns", 100_000, None, 10_000, 1_000_000),
    Axis("net.ipv4.tcp_keepalive_time", 7200, None, 60, 7200),
    Axis("net.ipv4.tcp_keepalive_intvl", 75, None, 10, 120),
    Axis("net.ipv4.tcp_retries2", 15, None, 8, 15),
    Axis("vm.page-cluster", 3, None, 0, 6),
    Axis("vm.max_map_count", 65_530, None, 65_530, 1_048_576),
    Axis("khugepaged.scan_sleep_millisecs", 10_000, None, 100, 60_000),
    Axis("ksm.sleep_millisecs", 20, None, 10, 10_000),
)
"""Drawn from as well where a surface is larger."""

SWITCHES = tuple(
    Axis(name, default, None, values=(0, 1))
    for name, default in (
        ("kernel.sched_autogroup_enabled", 1), ("net.ipv4.tcp_autocorking", 1), ("net.ipv4.tcp_no_metrics_save", 0),
        ("kernel.timer_migration", 1),
    )
)  # fmt: skip
"""Two values each."""

WORDS = tuple(
    Axis(name, default, None, values=values)
    for name, default, values in (
        ("cpufreq.governor", "schedutil", ("performance", "powersave", "schedutil", "ondemand")),
        ("cpufreq.energy_performance_preference", "balance_performance",
         ("performance", "balance_performance", "balance_power", "power")),
        ("cpuidle.governor", "menu", ("menu", "teo", "haltpoll", "ladder")),
        ("thp.defrag", "madvise", ("always", "defer", "defer+madvise", "madvise")),
    )
)  # fmt: skip
"""Several words each."""
