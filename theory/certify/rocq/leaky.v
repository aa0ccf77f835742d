(* ---- a leaky map: (1 - a) h + a f(h, u), with the leak and the rates on integers *)
Definition leaky (a : R) (f : vec -> vec -> vec) (h u : vec) : vec := mean a h (f h u).
Definition leak_holds (anum aden num den onum oden : Z) : bool :=
  (0 <=? anum)%Z && (anum <=? aden)%Z && (0 <? aden)%Z && (0 <? den)%Z && (0 <? oden)%Z
  && (((aden - anum) * den + anum * num) * oden <=? onum * (aden * den))%Z.
Lemma leak_contracts d f anum aden num den onum oden : mixes d ->
  leak_holds anum aden num den onum oden = true -> (forall h g, 0 <= d h g) ->
  (forall h g u, d (f h u) (f g u) <= rate num den * d h g) -> forall h g u,
  d (leaky (IZR anum / IZR aden) f h u) (leaky (IZR anum / IZR aden) f g u)
  <= rate onum oden * d h g.
Proof.
  unfold leak_holds. intros Hmix H Hd Hf h g u. repeat rewrite andb_true_iff in H.
  destruct H as (((((H0 & H1) & H2) & H3) & H4) & H5).
  apply Z.leb_le in H0, H1, H5. apply Z.ltb_lt in H2, H3, H4.
  apply IZR_le in H0, H1, H5. apply IZR_lt in H2, H3, H4.
  rewrite !mult_IZR, plus_IZR, !mult_IZR, minus_IZR in H5.
  set (a := IZR anum / IZR aden). assert (Ha : 0 <= a <= 1).
  { unfold a. split.
    - apply Rmult_le_pos; [exact H0 | left; now apply Rinv_0_lt_compat].
    - apply (Rmult_le_reg_r (IZR aden)); [exact H2|]. unfold Rdiv.
      rewrite Rmult_assoc, Rinv_l; lra. }
  assert (Hr : 1 - a + a * rate num den <= rate onum oden).
  { unfold a, rate. apply (Rmult_le_reg_r (IZR aden * IZR den * IZR oden));
      [repeat apply Rmult_lt_0_compat; assumption|].
    replace ((1 - IZR anum / IZR aden + IZR anum / IZR aden * (IZR num / IZR den))
      * (IZR aden * IZR den * IZR oden))
      with (((IZR aden - IZR anum) * IZR den + IZR anum * IZR num) * IZR oden) by (field; lra).
    replace (IZR onum / IZR oden * (IZR aden * IZR den * IZR oden))
      with (IZR onum * (IZR aden * IZR den)) by (field; lra). exact H5. }
  specialize (Hmix a h g (f h u) (f g u) Ha). specialize (Hf h g u). specialize (Hd h g).
  unfold leaky. fold a. apply Rle_trans with ((1 - a + a * rate num den) * d h g).
  - eapply Rle_trans; [exact Hmix|]. nra.
  - now apply Rmult_le_compat_r.
Qed.
